/* SPDX-License-Identifier: MIT */
/*
 * Problems in the HTML report: refused requests, sites that grow or fragment, invalid frees,
 * leaks.
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
    static const char *const columns[] = {"Site", "#Bytes", "#Blocks", NULL};
    const struct analysis *analysis = article->analysis;
    struct tally *rows = report_rows_sorted(&analysis->sites);
    char caption[64];

    if (!rows && analysis->sites.rows)
        return -ENOMEM;
    if (rows)
        qsort(rows, analysis->sites.rows, sizeof *rows, compare_leaks);
    if (!analysis->total.leaked_blocks) {
        html_section_empty(article, "leaks", report_unfreed_title(analysis),
                           "None: all device memory was freed.");
        free(rows);
        return 0;
    }
    html_section_begin(article, "leaks", report_unfreed_title(analysis));
    fprintf(article->out, "<p>Device memory %s: %s in %s.</p>\n", report_unfreed(analysis),
            unit_bytes(analysis->total.leaked_bytes).text,
            unit_blocks(analysis->total.leaked_blocks).text);
    snprintf(caption, sizeof caption, "Memory %s, by site", report_unfreed(analysis));
    html_table_begin(article->out, "sortable", caption, columns);
    for (size_t i = 0; i < analysis->sites.rows && i < article->top; i++) {
        if (!rows[i].leaked_blocks)
            continue;
        html_row_begin(article->out);
        html_cell_site(article, rows[i].key);
        html_cell_bytes(article->out, rows[i].leaked_bytes);
        html_cell_count(article->out, rows[i].leaked_blocks);
    }
    html_table_end(article->out);
    html_section_end(article);
    free(rows);
    return 0;
}

/** Sites with steadily growing live blocks. */
static void growth_print(const struct html_article *article)
{
    static const char *const columns[] = {"Site", "#Blocks added", "#Bytes added",
                                          "#Blocks never freed", NULL};
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

/** Sites with blocks that keep segments of the pool partly free. */
static void fragmentation_print(const struct html_article *article)
{
    static const char *const columns[] = {"Site",    "#Held free",     "#Share", "#Block bytes",
                                          "#Blocks", "#Segments held", NULL};
    const struct fragmentation *fragmentation = &article->analysis->fragmentation;

    if (!fragmentation->sites)
        return;
    html_section_begin(article, "fragmentation", "Fragmentation");
    fprintf(
        article->out,
        "<p>Free next to live blocks in the pool's segments at the peak: %s. The free space of a "
        "segment is divided among its blocks by size: a site with small blocks and a large "
        "share keeps segments from returning to the driver.</p>\n",
        unit_bytes(fragmentation->pinned_bytes).text);
    html_table_begin(article->out, "sortable",
                     "Sites with blocks that keep segments of the pool partly free", columns);
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

    if (!analysis->total.invalid_frees) {
        html_section_empty(article, "invalid", "Invalid frees",
                           "None: no double, interior or foreign free.");
        return;
    }
    html_section_begin(article, "invalid", "Invalid frees");
    html_table_begin(article->out, "sortable", "Invalid frees (at most the first 100)", columns);
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
    html_table_begin(article->out, "sortable", "Refused requests (at most the first 100)", columns);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++) {
        const struct analysis_postmortem *postmortem = &analysis->postmortem[i];

        html_row_begin(article->out);
        html_cell_duration(article->out, postmortem->time_ns);
        html_cell_bytes(article->out, postmortem->request_bytes);
        html_cell_hint(article->out,
                       postmortem->is_refused ? verdict_name(postmortem->verdict) : "not refused",
                       postmortem->is_refused
                           ? verdict_sentence(postmortem->verdict)
                           : "served by the driver, or recorded by an older version");
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

/** The first refusal to the program; else the first of all. */
static const struct analysis_postmortem *first_of(const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        if (analysis->postmortem[i].is_refused)
            return &analysis->postmortem[i];
    return &analysis->postmortem[0];
}

static void oom_state_print(const struct html_article *article,
                            const struct analysis_postmortem *first)
{
    const struct verdict_facts *facts = &first->facts;
    FILE *out = article->out;

    fprintf(out,
            "<br>Verdict: <strong>%s</strong> \u2013 %s. The pool had %s free, the largest piece "
            "%s, and %s in quarantine",
            verdict_name(first->verdict), verdict_sentence(first->verdict),
            unit_bytes(facts->cached_bytes).text, unit_bytes(facts->largest_free_bytes).text,
            unit_bytes(facts->quarantined_bytes).text);
    if (facts->driver_total_bytes)
        fprintf(out, "; the device had %s free of %s, others held %s",
                unit_bytes(facts->driver_free_bytes).text,
                unit_bytes(facts->driver_total_bytes).text,
                unit_bytes(verdict_others_bytes(facts)).text);
    if (facts->limit_bytes)
        fprintf(out, "; the limit was %s", unit_bytes(facts->limit_bytes).text);
    fputc('.', out);
}

void html_oom_banner_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    const struct analysis_postmortem *first;
    char name[256];

    if (!analysis->postmortems)
        return;
    first = first_of(analysis);
    fprintf(article->out,
            "<p class=\"banner oom\" role=\"alert\"><strong>%s</strong> After %s a request of %s",
            first->is_refused ? "Out of memory." : "The pool ran out of memory.",
            unit_duration(first->time_ns).text, unit_bytes(first->request_bytes).text);
    if (first->site) {
        report_site_name(analysis, first->site, name, sizeof name);
        fputs(" by ", article->out);
        html_text(article->out, name);
    }
    fprintf(article->out, " %s, with %s in use",
            first->is_refused ? "was refused" : "found no room in the pool",
            unit_bytes(first->levels.requested_bytes).text);
    if (analysis->postmortems > 1)
        fprintf(article->out, "; the first of %s requests", unit_count(analysis->postmortems).text);
    fputc('.', article->out);
    if (first->is_refused)
        oom_state_print(article, first);
    fprintf(article->out, " <a href=\"#oom-%zu\">All refused requests</a></p>\n", article->number);
}

int html_troubles_print(const struct html_article *article)
{
    html_memory_errors_print(article);
    postmortems_print(article);
    growth_print(article);
    fragmentation_print(article);
    html_defragmentation_print(article);
    invalid_frees_print(article);
    return leaks_print(article);
}
