/* SPDX-License-Identifier: MIT */
#include "tools/report/html/html_view.h"

#include <string.h>

#include "tools/base/escape.h"
#include "tools/base/units.h"
#include "tools/report/html/html_table.h"

#define LETTER 7.0 /* approximate width of one */

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

#define BYTE_TICKS 4 /* at most, above 0; five would need labels like 1.25 MiB */
#define TIME_TICKS 6
#define LABEL_ROOM 25.0 /* half of a label */

static uint64_t byte_step(uint64_t most_bytes)
{
    uint64_t step = 1;

    while (most_bytes / step > BYTE_TICKS)
        step *= 2;
    return step;
}

static uint64_t time_step(uint64_t end_ns)
{
    static const unsigned seconds[] = {10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600};
    const size_t steps = sizeof seconds / sizeof *seconds;
    uint64_t step = 1;

    for (unsigned i = 0; step < UINT64_C(10000000000) && end_ns / step > TIME_TICKS; i++)
        step = i % 3 == 1 ? step / 2 * 5 : step * 2; /* 1, 2, 5, 10 … */
    for (size_t i = 0; i < steps && end_ns / step > TIME_TICKS; i++)
        step = seconds[i] * UINT64_C(1000000000);
    while (end_ns / step > TIME_TICKS)
        step *= 2;
    return step;
}

/** Without a fraction of zeros: 1 MiB, 1.5 s; 0 without a unit. */
static struct unit_text tick_text(struct unit_text text)
{
    char *end = strchr(text.text, ' '), *point = strchr(text.text, '.'), *last = end;

    if (text.text[0] == '0' && end == text.text + 1)
        *end = '\0';
    if (!point || !end || point > end)
        return text;
    while (last > point && (last[-1] == '0' || last[-1] == '.'))
        last--;
    memmove(last, end, strlen(end) + 1);
    return text;
}

/** 0 of an empty scale, which has one tick. */
static double scale_part(uint64_t value, uint64_t end)
{
    return end ? (double)value / (double)end : 0;
}

void html_axes_print(FILE *out, const struct html_axes *axes)
{
    uint64_t bytes_step = byte_step(axes->most_bytes), ns_step = time_step(axes->end_ns);
    double bottom = axes->top + axes->height, right = axes->left + axes->width;

    for (uint64_t i = 0; i <= axes->most_bytes / bytes_step; i++) {
        double y = bottom - axes->height * scale_part(i * bytes_step, axes->most_bytes);

        fprintf(out,
                "<path class=\"grid\" d=\"M%.1f %.1fh%.1f\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                axes->left, y, axes->width, axes->left - 6, y + 4,
                tick_text(unit_bytes(i * bytes_step)).text);
    }
    for (uint64_t i = 0; i <= axes->end_ns / ns_step; i++) {
        double x = axes->left + axes->width * scale_part(i * ns_step, axes->end_ns);

        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
                x < right - LABEL_ROOM ? x : right, bottom + 18,
                x < right - LABEL_ROOM ? "middle" : "end",
                tick_text(unit_duration(i * ns_step)).text);
    }
}

void html_legend_item(FILE *out, const char *classes, const char *name)
{
    fprintf(out, "<span class=\"key %s\">", classes);
    html_text(out, name);
    fputs("</span> ", out);
}
