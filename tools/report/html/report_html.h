/* SPDX-License-Identifier: MIT */
/*
 * The report as one HTML file.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_REPORT_HTML_REPORT_HTML_H
#define TOOLS_REPORT_HTML_REPORT_HTML_H

#include "tools/report/base/report.h"

report_write_fn report_html_write;

#endif
