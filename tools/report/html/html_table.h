/* SPDX-License-Identifier: MIT */
/*
 * Tables of the HTML report. Each figure has its plain value in data-v, which the script uses to
 * sort and draw, so that no value is written twice.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_HTML_HTML_TABLE_H
#define TOOLS_REPORT_HTML_HTML_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * Opens a table; `classes` enable features of the script ("sortable", "searchable"). A column
 * with a name that begins with "#" holds figures; the sign is not shown. NULL ends the columns.
 */
void html_table_begin(FILE *out, const char *classes, const char *caption,
                      const char *const *columns);
void html_table_end(FILE *out);

void html_row_begin(FILE *out);

/** Cells of the current row. */
void html_cell_text(FILE *out, const char *text);
void html_cell_hint(FILE *out, const char *text, const char *hint); /* tooltip */
void html_cell_bytes(FILE *out, uint64_t bytes);
void html_cell_count(FILE *out, uint64_t count);
void html_cell_duration(FILE *out, uint64_t ns);
void html_cell_percent(FILE *out, uint64_t part, uint64_t whole);

/** Escaped text. */
void html_text(FILE *out, const char *text);

#endif
