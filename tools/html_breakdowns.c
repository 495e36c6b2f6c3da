/* SPDX-License-Identifier: MIT */
/*
 * The tables of the HTML report: who asked for memory, in what sizes, by which function, of which
 * kind and in which phase; and what went wrong.
 */
#include "tools/html_article.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/html_table.h"
#include "tools/units.h"

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

#define FIGURE_COLUMNS                                                                             \
    "#At peak", "#Its peak", "#Allocations", "#Frees", "#Bytes in all", "#Hits", "#Failures",      \
        "#Leaked", "#Longest call"

static void name_print(const struct html_article *article, enum report_by by,
                       const struct tally *row)
{
    char name[256], hint[512];
    struct report_place place;

    report_row_name(article->analysis, by, row, name, sizeof name);
    if (by == REPORT_BY_SIZE) {
        fprintf(article->out, "<td data-v=\"%llu\">%s",
                (unsigned long long)analysis_size_class_bytes(row->key), name);
    } else if (by == REPORT_BY_LIBRARY) {
        html_cell_hint(article->out, name, row->key ? (const char *)(uintptr_t)row->key : "");
    } else if (by == REPORT_BY_SITE) {
        report_place_find(article->analysis, row->key, &place);
        snprintf(hint, sizeof hint, "%s +%#llx build-id %s",
                 place.site.module ? place.site.module : "no module",
                 (unsigned long long)place.site.offset,
                 place.site.build_id ? place.site.build_id : "none");
        html_cell_hint(article->out, name, hint);
    } else {
        html_cell_text(article->out, name);
    }
}

static int breakdown_print(const struct html_article *article, enum report_by by)
{
    static const struct {
        const char *id, *heading, *classes;
        const char *columns[11];
    } tables[REPORT_BYS] = {
        [REPORT_BY_SITE] = {"sites", "Sites", "sortable searchable", {"Site", FIGURE_COLUMNS}},
        [REPORT_BY_SIZE] = {"sizes", "Sizes", "sortable", {"Size", FIGURE_COLUMNS}},
        [REPORT_BY_LIBRARY] = {"libraries", "Libraries", "sortable", {"Library", FIGURE_COLUMNS}},
        [REPORT_BY_API] = {"apis", "APIs", "sortable", {"Function", FIGURE_COLUMNS}},
    };
    const struct tallies *tallies = report_tallies(article->analysis, by);
    struct tally *rows = report_rows_sorted(tallies);
    char caption[128];

    if (!rows && tallies->rows)
        return -ENOMEM;
    snprintf(caption, sizeof caption, "%s, most at the peak first", tables[by].heading);
    html_section_begin(article, tables[by].id, tables[by].heading);
    html_table_begin(article->out, tables[by].classes, caption, tables[by].columns);
    for (size_t i = 0; i < tallies->rows && i < article->top; i++) {
        html_row_begin(article->out);
        name_print(article, by, &rows[i]);
        figures_print(article->out, &rows[i]);
    }
    html_table_end(article->out);
    if (tallies->rows > article->top)
        fprintf(article->out, "<p class=\"note\">%zu more: <code>--top %zu</code></p>\n",
                tallies->rows - article->top, tallies->rows);
    html_section_end(article);
    free(rows);
    return 0;
}

static void kinds_print(const struct html_article *article)
{
    static const char *const columns[] = {"Kind", FIGURE_COLUMNS, NULL};
    const struct tallies *kinds = &article->analysis->kinds;

    html_section_begin(article, "kinds", "Kinds of memory");
    html_table_begin(article->out, "sortable", "Memory of every kind, on the device and elsewhere",
                     columns);
    for (size_t i = 0; i < kinds->rows; i++) {
        html_row_begin(article->out);
        html_cell_text(article->out, memory_kind((unsigned)kinds->row[i].key)->name);
        figures_print(article->out, &kinds->row[i]);
    }
    html_table_end(article->out);
    html_section_end(article);
}

static void phases_print(const struct html_article *article)
{
    static const char *const columns[] = {"Phase",        "Source", "#Times",       "#Time in all",
                                          "#Allocations", "#Frees", "#Most a step", "#Driver calls",
                                          "#Peak",        NULL};
    const struct analysis *analysis = article->analysis;

    if (!analysis->phases)
        return;
    html_section_begin(article, "phases", "Phases");
    html_table_begin(article->out, "sortable",
                     "Phases, marked by the program or found in its memory", columns);
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
    int r = 0;

    for (size_t i = 0; i < sizeof order / sizeof *order && r == 0; i++)
        r = breakdown_print(article, order[i]);
    kinds_print(article);
    phases_print(article);
    return r;
}

static void site_cell(const struct html_article *article, uint64_t site)
{
    char name[256] = "";

    if (site)
        report_site_name(article->analysis, site, name, sizeof name);
    html_cell_text(article->out, name);
}

static int leaks_print(const struct html_article *article)
{
    static const char *const columns[] = {"Site", "#Leaked", "#Blocks", NULL};
    const struct analysis *analysis = article->analysis;
    struct tally *rows = report_rows_sorted(&analysis->sites);

    if (!rows && analysis->sites.rows)
        return -ENOMEM;
    html_section_begin(article, "leaks", "Leaks");
    if (analysis->total.leaked_blocks)
        fprintf(article->out, "<p>%s of device memory in %s was never freed.</p>\n",
                unit_bytes(analysis->total.leaked_bytes).text,
                unit_blocks(analysis->total.leaked_blocks).text);
    else
        fputs("<p>None: all device memory was freed.</p>\n", article->out);
    if (analysis->total.leaked_blocks) {
        html_table_begin(article->out, "sortable", "Memory never freed, by site", columns);
        for (size_t i = 0; i < analysis->sites.rows && i < article->top; i++) {
            if (!rows[i].leaked_blocks)
                continue;
            html_row_begin(article->out);
            site_cell(article, rows[i].key);
            html_cell_bytes(article->out, rows[i].leaked_bytes);
            html_cell_count(article->out, rows[i].leaked_blocks);
        }
        html_table_end(article->out);
    }
    html_section_end(article);
    free(rows);
    return 0;
}

/** Sites whose live blocks grow steadily. */
static void growth_print(const struct html_article *article)
{
    static const char *const columns[] = {"Site", "#Blocks", "#Bytes", "#Never freed", NULL};
    const struct analysis *analysis = article->analysis;

    if (!analysis->growths)
        return;
    html_section_begin(article, "growth", "Growing");
    html_table_begin(article->out, "sortable", "Sites that grow from step to step", columns);
    for (size_t i = 0; i < analysis->growths && i < article->top; i++) {
        const struct tally *row = &analysis->sites.row[analysis->growth[i].row];

        html_row_begin(article->out);
        site_cell(article, row->key);
        html_cell_count(article->out, analysis->growth[i].blocks);
        html_cell_bytes(article->out, analysis->growth[i].bytes);
        html_cell_count(article->out, row->leaked_blocks);
    }
    html_table_end(article->out);
    html_section_end(article);
}

static void invalid_frees_print(const struct html_article *article)
{
    static const char *const columns[] = {"#Time",        "Function",       "Address", "Freed by",
                                          "Allocated by", "First freed by", NULL};
    const struct analysis *analysis = article->analysis;
    const char *api;
    char address[32];

    html_section_begin(article, "invalid", "Invalid frees");
    if (!analysis->total.invalid_frees)
        fputs("<p>None: no free was double, interior or foreign.</p>\n", article->out);
    if (analysis->total.invalid_frees) {
        html_table_begin(article->out, "sortable", "Invalid frees, at most the first 100", columns);
        for (size_t i = 0; i < analysis->total.invalid_frees && i < ANALYSIS_INVALID_FREES; i++) {
            const struct analysis_invalid_free *invalid = &analysis->invalid_free[i];

            api = trace_reader_string(analysis->reader, invalid->api);
            snprintf(address, sizeof address, "%#llx", (unsigned long long)invalid->address);
            html_row_begin(article->out);
            html_cell_duration(article->out, invalid->time_ns);
            html_cell_text(article->out, api ? api : "unknown");
            html_cell_text(article->out, address);
            site_cell(article, invalid->site);
            site_cell(article, invalid->allocation_site);
            site_cell(article, invalid->first_free_site);
        }
        html_table_end(article->out);
    }
    html_section_end(article);
}

static void postmortems_print(const struct html_article *article)
{
    static const char *const columns[] = {"#Time",
                                          "#Request",
                                          "Verdict",
                                          "#In use",
                                          "#From the driver",
                                          "#Free in the pool",
                                          "#Largest free",
                                          "#Quarantine",
                                          "#Device free",
                                          "#Others",
                                          "Site",
                                          NULL};
    const struct analysis *analysis = article->analysis;

    if (!analysis->postmortems)
        return;
    html_section_begin(article, "oom", "Out of memory");
    html_table_begin(article->out, "sortable", "Requests refused, at most the first 100", columns);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++) {
        const struct analysis_postmortem *postmortem = &analysis->postmortem[i];

        html_row_begin(article->out);
        html_cell_duration(article->out, postmortem->time_ns);
        html_cell_bytes(article->out, postmortem->request_bytes);
        html_cell_hint(article->out,
                       postmortem->is_refused ? verdict_name(postmortem->verdict) : "not refused",
                       postmortem->is_refused ? verdict_sentence(postmortem->verdict)
                                              : "the driver could serve it, or an older trace");
        html_cell_bytes(article->out, postmortem->levels.requested_bytes);
        html_cell_bytes(article->out, postmortem->levels.driver_bytes);
        html_cell_bytes(article->out, postmortem->is_refused ? postmortem->facts.cached_bytes
                                                             : postmortem->held_free_bytes);
        html_cell_bytes(article->out, postmortem->facts.largest_free_bytes);
        html_cell_bytes(article->out, postmortem->facts.quarantined_bytes);
        html_cell_bytes(article->out, postmortem->facts.driver_free_bytes);
        html_cell_bytes(article->out, verdict_others_bytes(&postmortem->facts));
        site_cell(article, postmortem->site);
    }
    html_table_end(article->out);
    html_section_end(article);
}

int html_troubles_print(const struct html_article *article)
{
    postmortems_print(article);
    growth_print(article);
    invalid_frees_print(article);
    return leaks_print(article);
}
