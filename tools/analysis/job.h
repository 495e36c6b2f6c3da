/* SPDX-License-Identifier: MIT */
/*
 * Several traces of one job, rank by rank: sums, extremes, and outliers.
 *
 * A rank's number is the one its launcher set (recorded at the start). Without one, or when two
 * traces claim the same, it is the position on the command line. An outlier is a rank with a figure
 * that differs from the median by more than six times the median absolute deviation and by more
 * than a tenth of the median; there are none among fewer than four ranks. The median of an even
 * count is the lower one.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_ANALYSIS_JOB_H
#define TOOLS_ANALYSIS_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/analysis/analysis.h"

/* JOB_FIGURE(name, unit of report_figures.h, help, value from `const struct analysis *a`) */
#define JOB_FIGURES(JOB_FIGURE)                                                                    \
    JOB_FIGURE(peak_requested_bytes, BYTES, "peak", a->requested.peak)                             \
    JOB_FIGURE(peak_driver_bytes, BYTES, "peak from the driver", a->driver.peak)                   \
    JOB_FIGURE(leaked_bytes, BYTES, "leaked", a->total.leaked_bytes)                               \
    JOB_FIGURE(allocations, COUNT, "allocations", a->total.allocations)                            \
    JOB_FIGURE(driver_calls, COUNT, "driver calls", analysis_driver_calls(a))                      \
    JOB_FIGURE(failures, COUNT, "failed allocations", a->total.failures)

enum job_figure {
#define JOB_FIGURE(name, unit, help, value) JOB_##name,
    JOB_FIGURES(JOB_FIGURE)
#undef JOB_FIGURE
        JOB_FIGURE_COUNT
};

struct job_figure_row {
    const char *name, *help;
    bool is_bytes;
};

extern const struct job_figure_row job_figure_rows[JOB_FIGURE_COUNT];

/** One figure over the ranks. */
struct job_spread {
    uint64_t sum, least, most, median;
    double mean;
    uint64_t rounded; /* the mean */
    size_t most_at;   /* index of the rank */
    bool has_outlier; /* the one furthest from the median */
    size_t outlier_at;
};

struct job {
    size_t ranks;
    uint64_t *rank;              /* number of each, in the order of the traces */
    bool by_order;               /* numbers are places on the command line */
    const struct analysis *open; /* of a program that was killed or still runs; NULL: of none */
    uint64_t (*value)[JOB_FIGURE_COUNT];
    struct job_spread spread[JOB_FIGURE_COUNT];
};

/** NULL: out of memory. */
struct job *job_create(struct analysis *const *analyses, size_t count);

/** NULL is accepted. */
void job_destroy(struct job *job);

/** Returns the spread of plain values; `value` has at least one. Errors: -ENOMEM. */
int job_spread_of(const uint64_t *value, size_t count, struct job_spread *ret_spread);

#endif
