/* SPDX-License-Identifier: MIT */
/*
 * The figures of budgets and comparisons: one table with name, unit, direction, and source.
 * Quantities are parsed and printed by unit.
 *
 * Percentages are stored in millionths, so every figure is an integer and compares exactly.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_BUDGET_METRICS_H
#define TOOLS_BUDGET_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/analysis/analysis.h"
#include "tools/base/units.h"

/* Percentages are kept in parts per million; this many make one percent. */
#define METRIC_PERCENT_PPM 1e4

enum metric_unit { METRIC_UNIT_BYTES, METRIC_UNIT_COUNT, METRIC_UNIT_PERCENT };

/** Whether a budget is the maximum or the minimum accepted. */
enum metric_direction { METRIC_AT_MOST, METRIC_AT_LEAST };

/** Whether a figure depends on the program alone, or also on the history of pool and driver. */
enum metric_scope { METRIC_OF_PROGRAM, METRIC_OF_POOL };

/*
 * METRIC(key, unit, direction, scope, place in cupool.report/1, value from `struct analysis *a`)
 */
/* clang-format off */
#define METRICS(METRIC)                                                                            \
    METRIC(peak_live, BYTES, AT_MOST, PROGRAM, "summary.peak_requested_bytes", a->requested.peak)  \
    METRIC(leaked_at_exit, BYTES, AT_MOST, PROGRAM, "summary.leaked_bytes", a->total.leaked_bytes) \
    METRIC(alloc_failures, COUNT, AT_MOST, PROGRAM, "summary.failures", a->total.failures)         \
    METRIC(invalid_frees, COUNT, AT_MOST, PROGRAM, "summary.invalid_frees", a->total.invalid_frees)\
    METRIC(memory_errors, COUNT, AT_MOST, PROGRAM, "summary.memory_errors", a->memory_errors.count)\
    METRIC(allocations, COUNT, AT_MOST, PROGRAM, "summary.allocations", a->total.allocations)      \
    METRIC(peak_reserved, BYTES, AT_MOST, POOL, "summary.peak_reserved_bytes", a->reserved.peak)   \
    METRIC(peak_driver, BYTES, AT_MOST, POOL, "summary.peak_driver_bytes", a->driver.peak)         \
    METRIC(driver_calls, COUNT, AT_MOST, POOL, "summary.driver_calls", analysis_driver_calls(a))   \
    METRIC(fragmentation_overhead, PERCENT, AT_MOST, POOL, "summary.fragmentation.overhead",       \
           (uint64_t)(analysis_overhead(a) * 1e6 + 0.5))                                           \
    METRIC(pool_hits, PERCENT, AT_LEAST, POOL, "summary.hits / summary.allocations",               \
           metric_share(a->total.hits, a->total.allocations))
/* clang-format on */

enum metric {
#define METRIC(key, ...) METRIC_##key,
    METRICS(METRIC)
#undef METRIC
        METRIC_COUNT
};

/*
 * Figures of a phase: PHASE_METRIC(key, unit, place in cupool.report/1, value from `const struct
 * analysis_phase *p`). "Per step" is the highest of one step.
 */
/* clang-format off */
#define PHASE_METRICS(PHASE_METRIC)                                                                \
    PHASE_METRIC(peak_live, BYTES, "peak_requested_bytes", p->peak_requested_bytes)                \
    PHASE_METRIC(growth, BYTES, "growth_bytes",                                                    \
                 p->growth_bytes > 0 ? (uint64_t)p->growth_bytes : 0)                              \
    PHASE_METRIC(device_allocs, COUNT, "allocations", p->allocations)                              \
    PHASE_METRIC(device_allocs_per_step, COUNT, "steps.allocations_max",                           \
                 p->steps.allocations_max)                                                         \
    PHASE_METRIC(driver_calls, COUNT, "driver_calls", p->driver_calls)                             \
    PHASE_METRIC(driver_calls_per_step, COUNT, "steps.driver_calls_max", p->steps.driver_calls_max)
/* clang-format on */

enum phase_metric {
#define PHASE_METRIC(key, ...) PHASE_METRIC_##key,
    PHASE_METRICS(PHASE_METRIC)
#undef PHASE_METRIC
        PHASE_METRIC_COUNT
};

struct metric_row {
    const char *key;
    enum metric_unit unit;
    enum metric_direction direction;
    enum metric_scope scope;
    const char *report; /* where cupool.report/1 has it */
};

extern const struct metric_row metric_rows[METRIC_COUNT];

/** All figures of an analysis. */
void metrics_measure(const struct analysis *a, uint64_t ret_values[METRIC_COUNT]);

/** Which of them are upper bounds, of a trace of limited size. */
void metrics_bounds(const struct analysis *a, bool ret_bounds[METRIC_COUNT]);

/** A part in millionths; of nothing: all. */
uint64_t metric_share(uint64_t part, uint64_t whole);

/** Returns an index by the name's first `length` characters. Errors: -ENOENT. */
int metric_find(const char *key, size_t length);

/** A figure for people. */
struct unit_text metric_text(enum metric_unit unit, uint64_t value);

/** Parses "14 GiB", "12", "20%". Errors: -EINVAL, -ERANGE. */
int metric_parse(enum metric_unit unit, const char *text, uint64_t *ret_value);

/** Values that metric_parse accepts, for a message. */
const char *metric_accepted(enum metric_unit unit);

/**
 * Permitted growth of a figure: only growth beyond both the relative and the absolute part counts.
 */
struct tolerance {
    uint64_t relative_ppm;
    uint64_t absolute;
};

#define TOLERANCE_ACCEPTED "\"+3%\" or \"+3%, min 64 MiB\""

/** Parses "+3%, min 64 MiB" (the minimum in `unit`). `ret_why` is a clause. Errors: -EINVAL. */
int tolerance_parse(enum metric_unit unit, const char *text, struct tolerance *ret_tolerance,
                    const char **ret_why);

/** The growth that is still accepted. */
uint64_t tolerance_allowed(const struct tolerance *tolerance, uint64_t base);

#endif
