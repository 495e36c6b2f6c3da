/* SPDX-License-Identifier: MIT */
/*
 * Levels over time in constant memory.
 *
 * Time is divided into at most 512 spans of equal length. Each keeps the moments of the highest and
 * the lowest requested bytes, of the highest driver bytes, and the last moment. As time goes on,
 * adjacent spans are joined and the length doubles. So no peak is ever lost, and the maximum over
 * whole spans is exact.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_TIMELINE_H
#define TOOLS_ANALYSIS_SERIES_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMELINE_SPANS  512
#define TIMELINE_POINTS (4 * TIMELINE_SPANS)

struct timeline_point {
    uint64_t time_ns;
    uint64_t requested_bytes, allocated_bytes, reserved_bytes, driver_bytes;
    uint64_t allocations, frees, driver_calls; /* until then */
};

struct timeline_span {
    struct timeline_point highest, lowest, driver, last;
    bool used;
};

struct timeline {
    uint64_t span_ns; /* 0: nothing yet */
    struct timeline_span span[TIMELINE_SPANS];
};

/** Adds a moment; time does not go backwards. */
void timeline_add(struct timeline *timeline, const struct timeline_point *point);

/** Writes the points in order, at most TIMELINE_POINTS; their number. */
size_t timeline_points(const struct timeline *timeline, struct timeline_point *ret_points);

#endif
