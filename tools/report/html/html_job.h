/* SPDX-License-Identifier: MIT */
/*
 * The merged summary of several traces in the HTML report.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_REPORT_HTML_HTML_JOB_H
#define TOOLS_REPORT_HTML_HTML_JOB_H

#include "tools/report/base/report.h"

/** Errors: -ENOMEM. */
int html_job_print(const struct report_input *input, FILE *out);

#endif
