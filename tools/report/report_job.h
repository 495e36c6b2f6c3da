/* SPDX-License-Identifier: MIT */
/*
 * The merged summary of several traces, in each format except HTML. With one trace there is none.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_REPORT_REPORT_JOB_H
#define TOOLS_REPORT_REPORT_JOB_H

#include <jansson.h>

#include "tools/analysis/job.h"
#include "tools/report/report_formats.h"

/** NULL: out of memory. */
json_t *report_json_job(struct analysis *const *analyses, const char *const *traces, size_t count);

/** Errors: -ENOMEM. */
int report_text_job(const struct report_input *input, const struct report_style *style, FILE *out);
int report_markdown_job(const struct report_input *input, FILE *out);

#endif
