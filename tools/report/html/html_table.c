/* SPDX-License-Identifier: MIT */
/*
 * Rows and cells have no end tags, which HTML permits: the file becomes a fifth smaller.
 */
#include "tools/report/html/html_table.h"

#include "tools/base/escape.h"
#include "tools/base/units.h"

void html_text(FILE *out, const char *text)
{
    escape_print(out, ESCAPE_HTML, text);
}

void html_table_begin(FILE *out, const char *classes, const char *caption,
                      const char *const *columns)
{
    fprintf(out, "<div class=\"scroll\"><table class=\"%s\"><caption>", classes);
    html_text(out, caption);
    fputs("</caption><thead><tr>", out);
    for (; *columns; columns++) {
        fputs(**columns == '#' ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">", out);
        html_text(out, **columns == '#' ? *columns + 1 : *columns);
        fputs("</th>", out);
    }
    fputs("</tr></thead><tbody>", out);
}

void html_table_end(FILE *out)
{
    fputs("\n</tbody></table></div>\n", out);
}

void html_row_begin(FILE *out)
{
    fputs("\n<tr>", out);
}

void html_cell_text(FILE *out, const char *text)
{
    fputs("<td>", out);
    html_text(out, text);
}

void html_cell_hint(FILE *out, const char *text, const char *hint)
{
    fputs("<td title=\"", out);
    html_text(out, hint);
    fputs("\">", out);
    html_text(out, text);
}

static void figure_print(FILE *out, uint64_t value, struct unit_text text)
{
    fprintf(out, "<td data-v=\"%llu\">%s", (unsigned long long)value, text.text);
}

void html_cell_bytes(FILE *out, uint64_t bytes)
{
    figure_print(out, bytes, unit_bytes(bytes));
}

void html_cell_count(FILE *out, uint64_t count)
{
    figure_print(out, count, unit_count(count));
}

void html_cell_duration(FILE *out, uint64_t ns)
{
    figure_print(out, ns, unit_duration(ns));
}

void html_cell_percent(FILE *out, uint64_t part, uint64_t whole)
{
    figure_print(out, whole ? (uint64_t)(1e6 * (double)part / (double)whole) : 0,
                 unit_percent(part, whole));
}
