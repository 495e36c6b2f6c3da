/* SPDX-License-Identifier: MIT */
/*
 * Findings and breakdowns of the text report. A site's row has its main call paths under it, each
 * with its memory, so that for a function with many callers the important ones show.
 */
#include "tools/report/report_text_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"
#include "tools/base/text_fit.h"
#include "tools/base/text_table.h"
#include "tools/base/units.h"
#include "tools/report/base/findings.h"

#define PATHS   3 /* under a site */
#define FIGURES 5

void report_text_findings(const struct report_page *page)
{
    struct findings *findings = calloc(1, sizeof *findings);
    unsigned columns = page->style->columns;

    if (!findings)
        return;
    findings_find(page->analysis, &page->callers, findings);
    fprintf(page->out, "%sFindings%s\n", report_text_colour(page, REPORT_BOLD),
            report_text_colour(page, REPORT_PLAIN));
    for (size_t i = 0; i < findings->rows; i++) {
        const struct finding *finding = &findings->row[i];

        fprintf(page->out, " %zu. ", i + 1);
        text_wrap(page->out, finding->text, columns, 4);
        if (*finding->where) {
            fprintf(page->out, "    %s", report_text_colour(page, REPORT_YELLOW));
            text_wrap(page->out, finding->where, columns, 4);
            fputs(report_text_colour(page, REPORT_PLAIN), page->out);
        }
        fputs("    ", page->out);
        text_wrap(page->out, finding->action, columns, 4);
    }
    if (!findings->rows)
        fprintf(page->out, "    %s\n", findings_none(page->analysis));
    if (findings->left_out)
        fprintf(page->out, "    [%s not shown]\n",
                unit_nouns(findings->left_out, "minor finding").text);
    fputc('\n', page->out);
    free(findings);
}

/** A path's line under its site: "2.0 MiB, 1.0 MiB never freed from serve (engine.cc:41) < main".
 */
static int path_add(const struct report_page *page, struct text_table *table,
                    const struct caller *path)
{
    char text[768], names[640], leaked[64] = "";
    const struct tally *sum = &path->sum;

    caller_text(&page->callers, path, names, sizeof names);
    if (!*names)
        return 0;
    if (sum->leaked_blocks && sum->leaked_bytes != sum->live_bytes.at_peak)
        snprintf(leaked, sizeof leaked, ", %s %s", unit_bytes(sum->leaked_bytes).text,
                 report_unfreed(page->analysis));
    snprintf(text, sizeof text, "%s%s from %s", unit_bytes(sum->live_bytes.at_peak).text, leaked,
             names);
    return text_table_note(table, text);
}

static int paths_add(const struct report_page *page, struct text_table *table, uint64_t site)
{
    const struct caller *path;
    size_t count = callers_of(&page->callers, site, &path);
    char text[96];
    int error = 0;

    for (size_t i = 0; i < count && i < PATHS && error == 0; i++)
        error = path_add(page, table, &path[i]);
    if (error == 0 && count > PATHS) {
        snprintf(text, sizeof text, "[%s: --by stack]",
                 unit_nouns(count - PATHS, "more path").text);
        error = text_table_note(table, text);
    }
    return error;
}

static int row_add(struct text_table *table, const char *name, const struct tally *row)
{
    struct unit_text figure[FIGURES] = {
        unit_bytes(row->live_bytes.at_peak), unit_bytes(row->live_bytes.peak),
        unit_count(row->allocations), unit_percent(row->hits, row->allocations),
        unit_bytes(row->leaked_bytes)};
    const char *cells[FIGURES + 1] = {name};

    for (size_t i = 0; i < FIGURES; i++)
        cells[i + 1] = figure[i].text;
    return text_table_add(table, cells);
}

static struct text_table *table_create(const struct report_page *page, const char *title)
{
    const struct text_column columns[FIGURES + 1] = {
        {title, false, true, 0},      {"AT PEAK", true, false, 0},
        {"OWN PEAK", true, false, 3}, {"ALLOCATIONS", true, false, 1},
        {"HITS", true, false, 2},     {report_unfreed_column(page->analysis), true, false, 0}};

    return text_table_create(columns, FIGURES + 1, page->style->columns);
}

/** Explains the parentheses after names. */
static void legend_print(const struct report_page *page, enum report_by by)
{
    if (by == REPORT_BY_SITE || by == REPORT_BY_STACK || by == REPORT_BY_CALLER)
        fputs("In parentheses: the module; for a Python line, the package that allocates.\n",
              page->out);
}

int report_text_breakdown(const struct report_page *page, enum report_by by, size_t top)
{
    static const char *const titles[REPORT_BYS] = {
        [REPORT_BY_SITE] = "SITE", [REPORT_BY_LIBRARY] = "LIBRARY", [REPORT_BY_SIZE] = "SIZE",
        [REPORT_BY_API] = "API",   [REPORT_BY_STACK] = "STACK",     [REPORT_BY_CALLER] = "CALLER",
    };
    struct report_rows rows;
    struct text_table *table;
    char name[768];
    int error = report_rows_create(page->analysis, &page->callers, by, &rows);

    if (error < 0 || !rows.count)
        return error;
    table = table_create(page, titles[by]);
    for (size_t i = 0; table && i < rows.count && i < top && error == 0; i++) {
        report_rows_name(&rows, i, name, sizeof name);
        error = row_add(table, name, &rows.row[i]);
        if (error == 0 && by == REPORT_BY_SITE)
            error = paths_add(page, table, rows.row[i].key);
    }
    fputc('\n', page->out);
    if (text_table_finish(table, page->out) < 0)
        error = -ENOMEM;
    if (rows.count > top)
        fprintf(page->out, "[%zu more: --top %zu]\n", rows.count - top, rows.count);
    legend_print(page, by);
    report_rows_done(&rows);
    return error;
}
