/* SPDX-License-Identifier: MIT */
/*
 * The formats of a report: one row each, from which the parser, the help and the error for an
 * unknown format are made.
 *
 * Threading: constants; writers are single-threaded.
 */
#ifndef TOOLS_REPORT_REPORT_FORMATS_H
#define TOOLS_REPORT_REPORT_FORMATS_H

#include <stddef.h>
#include <stdio.h>

#include "tools/report/base/report.h"
#include "tools/report/html/html_assets.h"

struct report_format {
    const char *name, *help;
    report_write_fn *write;
    const char *const *missing; /* the package this build lacks for it; NULL or *NULL: none */
};

/* clang-format off */
/*
 * FORMAT(name, missing, help)   report_NAME_write writes it.
 */
#define REPORT_FORMATS(FORMAT)                                                                     \
    FORMAT(text,        NULL, "one page for a terminal (default)")                                 \
    FORMAT(json,        NULL, "all data, schema cupool.report/1")                                \
    FORMAT(html,        &html_assets_missing, "one page for a browser: charts and tables, no network") \
    FORMAT(markdown,    NULL, "GitHub tables, for the summary of a CI job")                        \
    FORMAT(csv,         NULL, "the sites as a table (RFC 4180)")                                   \
    FORMAT(openmetrics, NULL, "metrics for Prometheus and compatible tools")                                \
    FORMAT(prometheus,  NULL, "metrics in text format 0.0.4, for node_exporter's textfile collector") \
    FORMAT(perfetto,    NULL, "counters over time for ui.perfetto.dev (Chrome JSON)")              \
    FORMAT(folded,      NULL, "stacks at the peak for flame graphs")                                  \
    FORMAT(pprof,       NULL, "stacks for pprof, with leaks and all allocations (profile.proto)")
/* clang-format on */

#define FORMAT(name, missing, help) report_write_fn report_##name##_write;
REPORT_FORMATS(FORMAT)
#undef FORMAT

/** One report as text. Errors: negative errno. */
int report_text(const struct analysis *analysis, const char *trace,
                const struct report_style *style, FILE *out);

/** Writes one report for one analysis, a list for several. Errors: negative errno. */
int report_json(struct analysis *const *analyses, const char *const *traces, size_t count,
                const struct report_style *style, FILE *out);

/** Ends with a row without name. */
extern const struct report_format report_formats[];

/** NULL: there is none of that name. */
const struct report_format *report_format_find(const char *name);

/** The package this build lacks for a form, or NULL. */
const char *report_format_missing(const struct report_format *format);

/** "text, json and csv". */
void report_formats_list(char *ret_text, size_t text_bytes);

#endif
