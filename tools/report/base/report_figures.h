/* SPDX-License-Identifier: MIT */
/*
 * The figures of a report, one list for all formats: keys in JSON, columns of CSV, metrics of
 * OpenMetrics.
 *
 * Threading: constants and pure functions.
 */
#ifndef TOOLS_REPORT_BASE_REPORT_FIGURES_H
#define TOOLS_REPORT_BASE_REPORT_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include "tools/analysis/analysis.h"

enum report_unit {
    REPORT_COUNT, /* of things that happened; it only grows */
    REPORT_LEVEL, /* of things at one time */
    REPORT_BYTES_SUM,
    REPORT_BYTES,
    REPORT_NS_SUM,
    REPORT_NS
};

struct report_figure {
    const char *name; /* with its unit at the end */
    enum report_unit unit;
    const char *help;
    size_t offset;                                      /* in struct tally or struct analysis */
    uint64_t (*compute)(const struct analysis *origin); /* instead of an offset */
};

/** Figures of a row of a breakdown; ends with a row without name. */
extern const struct report_figure report_tally_figures[];

/** Figures of the whole process; ends with a row without name. */
extern const struct report_figure report_summary_figures[];

uint64_t report_tally_figure(const struct report_figure *figure, const struct tally *row);
uint64_t report_summary_figure(const struct report_figure *figure, const struct analysis *analysis);

#endif
