/* SPDX-License-Identifier: MIT */
/*
 * Breakdown tables of the HTML report: memory by site, size, library, API, kind and phase.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/report/html/html_series.h"
#include "tools/report/html/html_table.h"
#include "tools/base/units.h"

void html_cell_site(const struct html_article *article, uint64_t site)
{
    struct report_place place;
    char name[256] = "", hint[512] = "";

    if (site) {
        report_site_name(article->analysis, site, name, sizeof name);
        report_place_find(article->analysis, site, &place);
        snprintf(hint, sizeof hint, "%s +%#llx build-id %s",
                 place.site.module ? place.site.module : "no module",
                 (unsigned long long)place.site.offset,
                 place.site.build_id ? place.site.build_id : "none");
    }
    html_cell_hint(article->out, name, hint);
}

static void figures_print(FILE *out, const struct tally *row)
{
    html_cell_bytes(out, row->live_bytes.at_peak);
    html_cell_bytes(out, row->live_bytes.peak);
    html_cell_count(out, row->allocations);
    html_cell_count(out, row->frees);
    html_cell_bytes(out, row->requested_bytes);
    html_cell_percent(out, row->hits, row->allocations);
    html_cell_count(out, row->failures);
    html_cell_bytes(out, row->leaked_bytes);
    html_cell_duration(out, row->latency_max_ns);
}

#define SLICED_ROWS 200 /* of a table; later rows have figures of the whole run only */

#define SOURCED_ROWS 100

static void figure_table_begin(const struct html_article *article, const char *classes,
                               const char *caption, const char *name)
{
    char unfreed[16];
    const char *const columns[] = {name,     "#At peak",      "#Own peak", "#Allocations",
                                   "#Frees", "#Total bytes",  "#Hits",     "#Failures",
                                   unfreed,  "#Longest call", NULL};

    snprintf(unfreed, sizeof unfreed, "#%s", report_unfreed_heading(article->analysis));
    html_table_begin(article->out, classes, caption, columns);
}

/** Writes the name of a row; only the first rows show source lines. */
static void name_print(const struct html_article *article, enum report_by by,
                       const struct tally *row, size_t number)
{
    char name[256];

    if (by == REPORT_BY_SITE) {
        html_cell_site(article, row->key);
        if (number < SOURCED_ROWS)
            html_source_print(article, row->key);
        html_paths_print(article, row->key);
        return;
    }
    report_row_name(article->analysis, by, row, name, sizeof name);
    if (by == REPORT_BY_SIZE) {
        fprintf(article->out, "<td data-v=\"%llu\">%s",
                (unsigned long long)analysis_size_class_bytes(row->key), name);
    } else if (by == REPORT_BY_LIBRARY) {
        html_cell_hint(article->out, name, row->key ? (const char *)(uintptr_t)row->key : "");
    } else {
        html_cell_text(article->out, name);
    }
}

static int breakdown_print(const struct html_article *article, enum report_by by)
{
    static const struct {
        const char *id, *heading, *classes, *column;
    } tables[REPORT_BYS] = {
        [REPORT_BY_SITE] = {"sites", "Sites", "sortable searchable sliced", "Site"},
        [REPORT_BY_SIZE] = {"sizes", "Sizes", "sortable sliced", "Size"},
        [REPORT_BY_LIBRARY] = {"libraries", "Libraries", "sortable sliced", "Library"},
        [REPORT_BY_API] = {"apis", "APIs", "sortable sliced", "Function"},
    };
    static const enum slice_table slice_tables[REPORT_BYS] = {
        [REPORT_BY_SITE] = SLICE_SITES,
        [REPORT_BY_SIZE] = SLICE_SIZES,
        [REPORT_BY_LIBRARY] = SLICE_LIBRARIES,
        [REPORT_BY_API] = SLICE_APIS,
    };
    const struct tallies *tallies = report_tallies(article->analysis, by);
    struct tally *rows = report_rows_sorted(tallies);
    char caption[128];

    if (!rows && tallies->rows)
        return -ENOMEM;
    snprintf(caption, sizeof caption, "%s, largest at the peak first", tables[by].heading);
    html_section_begin(article, tables[by].id, tables[by].heading);
    if (by == REPORT_BY_SIZE && html_size_bars_print(article) < 0) {
        free(rows);
        return -ENOMEM;
    }
    figure_table_begin(article, tables[by].classes, caption, tables[by].column);
    for (size_t i = 0; i < tallies->rows && i < article->top; i++) {
        if (i < SLICED_ROWS)
            html_row_begin_sliced(article, slice_tables[by], tallies, rows[i].key);
        else
            html_row_begin(article->out);
        name_print(article, by, &rows[i], i);
        figures_print(article->out, &rows[i]);
    }
    html_table_end(article->out);
    if (tallies->rows > article->top && article->top < HTML_MOST_ROWS)
        fprintf(article->out, "<p class=\"note\">%zu more with <code>--top %zu</code></p>\n",
                tallies->rows - article->top, tallies->rows);
    else if (tallies->rows > article->top)
        fprintf(article->out, "<p class=\"note\">%zu more with <code>--format csv</code></p>\n",
                tallies->rows - article->top);
    html_section_end(article);
    free(rows);
    return 0;
}

static void kinds_print(const struct html_article *article)
{
    const struct tallies *kinds = &article->analysis->kinds;

    html_section_begin(article, "kinds", "Kinds of memory");
    figure_table_begin(article, "sortable sliced", "Memory by kind, on the device and elsewhere",
                       "Kind");
    for (size_t i = 0; i < kinds->rows; i++) {
        html_row_begin_sliced(article, SLICE_KINDS, kinds, kinds->row[i].key);
        html_cell_text(article->out, memory_kind((unsigned)kinds->row[i].key)->name);
        figures_print(article->out, &kinds->row[i]);
    }
    html_table_end(article->out);
    html_section_end(article);
}

static void phases_print(const struct html_article *article)
{
    static const char *const columns[] = {"Phase",        "Source", "#Count",    "#Total time",
                                          "#Allocations", "#Frees", "#Per step", "#Driver calls",
                                          "#Peak",        NULL};
    const struct analysis *analysis = article->analysis;

    if (!analysis->phases)
        return;
    html_section_begin(article, "phases", "Phases");
    html_table_begin(article->out, "sortable",
                     "Phases, marked by the program or detected in its memory use", columns);
    for (size_t i = 0; i < analysis->phases && i < article->top; i++) {
        const struct analysis_phase *phase = &analysis->phase[i];

        html_row_begin(article->out);
        html_cell_text(article->out, phase->name);
        html_cell_text(article->out, analysis_phase_source_name[phase->source]);
        html_cell_count(article->out, phase->count);
        html_cell_duration(article->out, phase->duration_ns);
        html_cell_count(article->out, phase->allocations);
        html_cell_count(article->out, phase->frees);
        html_cell_count(article->out, phase->steps.allocations_max);
        html_cell_count(article->out, phase->driver_calls);
        html_cell_bytes(article->out, phase->peak_requested_bytes);
    }
    html_table_end(article->out);
    html_section_end(article);
}

int html_breakdowns_print(const struct html_article *article)
{
    static const enum report_by order[] = {REPORT_BY_SITE, REPORT_BY_SIZE, REPORT_BY_LIBRARY,
                                           REPORT_BY_API};
    int error = 0;

    for (size_t i = 0; i < sizeof order / sizeof *order && error == 0; i++)
        error = breakdown_print(article, order[i]);
    kinds_print(article);
    phases_print(article);
    return error;
}
