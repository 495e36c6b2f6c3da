/* SPDX-License-Identifier: MIT */
/*
 * The section "Defragmentation": where the pools' memory comes from, and the benefit and cost of
 * defragmentation. It appears where a pool had mapped memory; the line of the backing also where
 * the option asked for it and the device did not support it.
 */
#ifndef TOOLS_REPORT_REPORT_DEFRAGMENTATION_H
#define TOOLS_REPORT_REPORT_DEFRAGMENTATION_H

#include <jansson.h>
#include <stdio.h>

#include "tools/analysis/analysis.h"
#include "tools/report/report_text_parts.h"

/** A line of the header for each device: the backing and the reason for it. */
void report_text_backing(const struct report_page *page);
void report_text_defragmentation(const struct report_page *page);

void report_markdown_defragmentation(const struct analysis *analysis, FILE *out);

json_t *report_json_defragmentation(const struct analysis *analysis);

#endif
