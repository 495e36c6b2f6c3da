/* SPDX-License-Identifier: MIT */
/*
 * Memory errors in the HTML report: invalid accesses found by guards.
 */
#include "tools/report/html/html_article.h"

#include <inttypes.h>

#include "tools/base/units.h"
#include "tools/report/base/memory_error_text.h"
#include "tools/report/html/html_table.h"

static void row_print(const struct html_article *article, const struct memory_errors_row *row)
{
    char text[64] = "";

    html_row_begin(article->out);
    html_cell_duration(article->out, row->time_ns);
    html_cell_text(article->out, memory_error_name(row->kind));
    if (row->kind != MEMORY_ERROR_FAULT)
        snprintf(text, sizeof text, "%#" PRIx64, row->address);
    html_cell_text(article->out, text);
    html_cell_bytes(article->out, row->requested_bytes);
    memory_error_place_text(row, text, sizeof text);
    html_cell_text(article->out, text);
    text[0] = 0;
    if (memory_error_has_bytes(row))
        snprintf(text, sizeof text, "%#04x instead of %#04x", row->found, row->expected);
    html_cell_text(article->out, text);
    html_cell_site(article, row->allocation_site);
    html_cell_site(article, row->free_site);
}

void html_memory_errors_print(const struct html_article *article)
{
    static const char *const columns[] = {"#Time", "Error",        "Block",    "#Size", "Position",
                                          "Found", "Allocated by", "Freed by", NULL};
    const struct memory_errors *errors = &article->analysis->memory_errors;

    if (!errors->count)
        return;
    html_section_begin(article, "memory-errors", "Memory errors");
    fprintf(
        article->out,
        "<p>Memory errors: %s. The program wrote outside a block or into freed memory, or a kernel "
        "accessed addresses without memory. Guards show the changed bytes, not the kernel; for an "
        "illegal address they list the isolated blocks that may be involved as suspects.</p>\n",
        unit_count(errors->count).text);
    html_table_begin(article->out, "sortable", "Memory errors (at most the first 100)", columns);
    for (uint64_t i = 0; i < memory_errors_kept(errors) && i < article->top; i++) {
        row_print(article, &errors->row[i]);
        for (uint64_t j = 0; j < errors->suspects; j++)
            if (errors->suspect[j].error == i)
                row_print(article, &errors->suspect[j].row);
    }
    html_table_end(article->out);
    html_section_end(article);
}
