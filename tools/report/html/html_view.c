/* SPDX-License-Identifier: MIT */
#include "tools/report/html/html_view.h"

#include "tools/base/escape.h"
#include "tools/base/units.h"
#include "tools/report/html/html_table.h"

#define LETTER 7.0 /* width of one, about */

void html_views_begin(FILE *out, const char *label)
{
    fprintf(out, "<div class=\"views\" data-label=\"%s\">\n", label);
}

void html_views_end(FILE *out)
{
    fputs("</div>\n", out);
}

void html_view_begin(FILE *out, const char *name)
{
    fprintf(out, "<div class=\"view\"><h3>%s</h3>\n", name);
}

void html_view_end(FILE *out)
{
    fputs("</div>\n", out);
}

bool html_label_fits(double width)
{
    return width >= 6 * LETTER;
}

void html_label(FILE *out, const char *text, double width)
{
    char cut[256];
    size_t letters = !html_label_fits(width) ? 0 : (size_t)(width / LETTER) - 1, used = 0,
           count = 0;
    uint32_t character;

    while (text[used] && used < sizeof cut - 8 && count < letters) {
        used += escape_next(text + used, &character);
        count++;
    }
    if (!letters)
        return;
    snprintf(cut, sizeof cut, "%.*s%s", (int)used, text, text[used] ? "\u2026" : "");
    html_text(out, cut);
}

void html_legend_item(FILE *out, const char *classes, const char *name)
{
    fprintf(out, "<span class=\"key %s\">", classes);
    html_text(out, name);
    fputs("</span> ", out);
}

void html_axes(FILE *out, const struct html_plot_area *area, uint64_t most_bytes, uint64_t end_ns)
{
    for (int i = 0; i <= area->ticks; i++) {
        double share = (double)i / area->ticks;
        double x = area->left + area->width * share;
        double y = area->top + area->height - area->height * share;

        fprintf(out,
                "<path class=\"grid\" d=\"M%.1f %.1fh%.1f\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
                area->left, y, area->width, area->left - 6, y + 4,
                unit_bytes((uint64_t)((double)most_bytes * share)).text, x,
                area->top + area->height + 18, i == area->ticks ? "end" : "middle",
                unit_duration((uint64_t)((double)end_ns * share)).text);
    }
}
