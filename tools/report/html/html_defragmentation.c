/* SPDX-License-Identifier: MIT */
/*
 * Defragmentation in the HTML report: operations of the pools, and the backing of each pool.
 */
#include "tools/report/html/html_article.h"

#include "tools/base/units.h"
#include "tools/report/html/html_table.h"

static const char *const names[DEFRAGMENTATION_KINDS] = {
    [DEFRAGMENTATION_MAP] = "Memory mapped",
    [DEFRAGMENTATION_UNMAP] = "Memory unmapped",
    [DEFRAGMENTATION_STITCH] = "Free pieces stitched",
    [DEFRAGMENTATION_BREAK] = "Handles split",
};

static void backings_print(const struct html_article *article)
{
    static const char *const columns[] = {
        "#Device", "#Context", "Backing", "Reason", "#Pieces up to", "#Addresses reserved", NULL};
    const struct defragmentation *all = &article->analysis->defragmentation;

    html_table_begin(article->out, "sortable parts", "Backing of each pool", columns);
    for (size_t i = 0; i < all->backings && i < article->top; i++) {
        const struct defragmentation_backing *backing = &all->backing[i];

        html_row_begin(article->out);
        html_cell_count(article->out, backing->device);
        html_cell_count(article->out, backing->context);
        html_cell_text(article->out, backing->mapped ? "mapped (vmm)" : "allocated by the driver");
        html_cell_text(article->out, backing->reason ? backing->reason : "");
        html_cell_bytes(article->out, backing->page_bytes);
        html_cell_bytes(article->out, backing->range_bytes);
    }
    html_table_end(article->out);
}

void html_defragmentation_print(const struct html_article *article)
{
    static const char *const columns[] = {"Operation", "#Count",  "#Bytes", "#Total time",
                                          "#Longest",  "#Failed", NULL};
    const struct analysis *analysis = article->analysis;
    uint64_t free_bytes, largest_bytes;

    if (!defragmentation_is_mapped(analysis))
        return;
    html_section_begin(article, "defragmentation", "Defragmentation");
    fputs("<p>The pool's memory is mapped: remapping joins free pieces, without copying.",
          article->out);
    if (defragmentation_free(analysis, &free_bytes, &largest_bytes))
        fprintf(article->out, " Last recorded: %s free, largest piece %s.",
                unit_bytes(free_bytes).text, unit_bytes(largest_bytes).text);
    fputs("</p>\n", article->out);
    html_table_begin(article->out, "sortable parts", "Operations, over the whole run", columns);
    for (int kind = 0; kind < DEFRAGMENTATION_KINDS; kind++) {
        const struct defragmentation_sum sum = defragmentation_total(analysis, kind);

        html_row_begin(article->out);
        html_cell_text(article->out, names[kind]);
        html_cell_count(article->out, sum.count);
        html_cell_bytes(article->out, sum.bytes);
        html_cell_duration(article->out, sum.duration_ns);
        html_cell_duration(article->out, sum.longest_ns);
        html_cell_count(article->out, sum.refused);
    }
    html_table_end(article->out);
    backings_print(article);
    html_section_end(article);
}
