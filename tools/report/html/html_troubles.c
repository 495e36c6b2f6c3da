/* SPDX-License-Identifier: MIT */
/*
 * What went wrong, in the HTML report: refused requests, sites that grow or fragment, invalid
 * frees, leaks.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/report/html/html_table.h"
#include "tools/base/units.h"

static int compare_leaks(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;

    if (left->leaked_bytes != right->leaked_bytes)
        return left->leaked_bytes > right->leaked_bytes ? -1 : 1;
    return tally_compare(a, b);
}

static int leaks_print(const struct html_article *article)
{
    static const char *const columns[] = {"Site", "#Leaked", "#Blocks", NULL};
    const struct analysis *analysis = article->analysis;
    struct tally *rows = report_rows_sorted(&analysis->sites);

    if (!rows && analysis->sites.rows)
        return -ENOMEM;
    if (rows)
        qsort(rows, analysis->sites.rows, sizeof *rows, compare_leaks);
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
            html_cell_site(article, rows[i].key);
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
        html_cell_site(article, row->key);
        html_cell_count(article->out, analysis->growth[i].blocks);
        html_cell_bytes(article->out, analysis->growth[i].bytes);
        html_cell_count(article->out, row->leaked_blocks);
    }
    html_table_end(article->out);
    html_section_end(article);
}

/** Sites whose blocks keep segments of the pool partly free. */
static void fragmentation_print(const struct html_article *article)
{
    static const char *const columns[] = {"Site",        "#Kept free", "#Of the free space",
                                          "#Its blocks", "#Blocks",    "#Segments held",
                                          NULL};
    const struct fragmentation *fragmentation = &article->analysis->fragmentation;

    if (!fragmentation->sites)
        return;
    html_section_begin(article, "fragmentation", "Fragmentation");
    fprintf(article->out,
            "<p>At the peak %s of the pool's segments were free beside blocks. The free space of a "
            "segment is shared out among the blocks in it by their size: a site with small blocks "
            "and a large share keeps segments from being given back.</p>\n",
            unit_bytes(fragmentation->pinned_bytes).text);
    html_table_begin(article->out, "sortable",
                     "Sites whose blocks keep segments of the pool partly free", columns);
    for (size_t i = 0; i < fragmentation->sites && i < article->top; i++) {
        const struct fragmentation_part *part = &fragmentation->site[i];

        html_row_begin(article->out);
        html_cell_site(article, part->key);
        html_cell_bytes(article->out, part->pinned_bytes);
        html_cell_percent(article->out, part->pinned_bytes, fragmentation->pinned_bytes);
        html_cell_bytes(article->out, part->block_bytes);
        html_cell_count(article->out, part->blocks);
        html_cell_bytes(article->out, part->pinned_bytes + part->block_bytes);
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
            html_cell_site(article, invalid->site);
            html_cell_site(article, invalid->allocation_site);
            html_cell_site(article, invalid->first_free_site);
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
        html_cell_site(article, postmortem->site);
    }
    html_table_end(article->out);
    html_section_end(article);
}

int html_troubles_print(const struct html_article *article)
{
    html_memory_errors_print(article);
    postmortems_print(article);
    growth_print(article);
    fragmentation_print(article);
    invalid_frees_print(article);
    return leaks_print(article);
}
