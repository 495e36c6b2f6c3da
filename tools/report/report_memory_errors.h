/* SPDX-License-Identifier: MIT */
/*
 * The section "Memory errors" of the text, Markdown and JSON reports.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_REPORT_REPORT_MEMORY_ERRORS_H
#define TOOLS_REPORT_REPORT_MEMORY_ERRORS_H

#include "tools/report/report_json_parts.h"
#include "tools/report/report_text_parts.h"

void report_text_memory_errors(const struct report_page *page);

/** Nothing where there are none. */
void report_markdown_memory_errors(const struct analysis *analysis, FILE *out);

json_t *report_json_memory_errors(const struct analysis *analysis);

#endif
