/* SPDX-License-Identifier: MIT */
/*
 * Figures of all slices of time (series/slices.h), as attributes of elements of the page: numbers
 * in base 36 separated by commas, "v*n" for n equal ones; semicolons separate figures. The script
 * computes the figures of a range from them.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_HTML_HTML_SERIES_H
#define TOOLS_REPORT_HTML_HTML_SERIES_H

#include "tools/report/html/html_article.h"

/** One number per slice. */
void html_series_print(FILE *out, const uint64_t *values, size_t count);

/** Opens a row of a table of figures, with its series where slices are kept. */
void html_row_begin_sliced(const struct html_article *article, enum slice_table table,
                           const struct tallies *tallies, uint64_t key);

/** Sites over time, the largest in separate colours; nothing without slices. Errors: -ENOMEM. */
int html_stack_print(const struct html_article *article);

/** The figures of the whole program in each slice, as a table; nothing without slices. */
void html_slices_print(const struct html_article *article);

/** Writes the maps of all slices, for the script; `colour` gives the colours of sites. */
void html_slice_maps_print(const struct html_article *article,
                           unsigned (*colour)(const void *context, uint64_t site),
                           const void *context);

#endif
