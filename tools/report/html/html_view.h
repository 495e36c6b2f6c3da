/* SPDX-License-Identifier: MIT */
/*
 * Pictures of the HTML report: boxes with tooltips, which the script makes accessible by keyboard,
 * and views, of which the script shows one at a time.
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
#define HTML_COLOURS    8 /* classes c0 (neutral) … c7 */

/** Enclose the views; each view begins with its name, which the script makes a tab. */
void html_views_begin(FILE *out, const char *label);
void html_views_end(FILE *out);
void html_view_begin(FILE *out, const char *name);
void html_view_end(FILE *out);

/** Whether a label of any length fits into a width. */
bool html_label_fits(double width);

/** Text cut to a width of a picture, between characters. */
void html_label(FILE *out, const char *text, double width);

/** Frame of a picture of bytes over time; its scales end at most_bytes and end_ns. */
struct html_axes {
    double left, top, width, height;
    uint64_t most_bytes, end_ns;
};

/** Grid lines and labels of both axes, at round values. */
void html_axes_print(FILE *out, const struct html_axes *axes);

/** One entry of a legend. */
void html_legend_item(FILE *out, const char *classes, const char *name);

#endif
