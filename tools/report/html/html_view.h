/* SPDX-License-Identifier: MIT */
/*
 * Pictures of the HTML report: boxes with a text on hovering, which the script makes accessible by
 * keyboard, and views, one of which the script shows at a time.
 *
 * A box's text is in its <title>: the name, a line end, the figures.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_HTML_HTML_VIEW_H
#define TOOLS_REPORT_HTML_HTML_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HTML_VIEW_WIDTH 1200.0
#define HTML_COLOURS    8 /* classes c0 (nothing in particular) … c7 */

/** Views stand between these; each begins with its name, which the script makes a tab. */
void html_views_begin(FILE *out, const char *label);
void html_views_end(FILE *out);
void html_view_begin(FILE *out, const char *name);
void html_view_end(FILE *out);

/** Whether a width has room for any. */
bool html_label_fits(double width);

/** Text cut to a width of a picture, at a whole character. */
void html_label(FILE *out, const char *text, double width);

/** The area of a picture over time: bytes upwards, time to the right. */
struct html_plot_area {
    double left, top, width, height;
    int ticks; /* on each axis */
};

/** Grid and labels of both axes, up to the most bytes and the end. */
void html_axes(FILE *out, const struct html_plot_area *area, uint64_t most_bytes, uint64_t end_ns);

/** A colour with its meaning, in a legend. */
void html_legend_item(FILE *out, const char *classes, const char *name);

#endif
