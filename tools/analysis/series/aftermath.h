/* SPDX-License-Identifier: MIT */
/*
 * The level of requested memory after its peak, by events, not by time: so a program that spends
 * most of its run in loading is judged like any other.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_AFTERMATH_H
#define TOOLS_ANALYSIS_SERIES_AFTERMATH_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/analysis/series/timeline.h"

#define AFTERMATH_NEAR_PERCENT 90 /* of the peak counts as the peak */
#define AFTERMATH_LEFT_PERCENT 85 /* of the peak is used later at most, for it to be short */

struct aftermath {
    uint64_t peak_bytes;
    bool over, falling;                    /* since the peak: it fell from there; it still falls */
    struct timeline_point lowest, highest; /* where the fall ends; the highest from there on */
    uint64_t since_bytes;                  /* lowest since the peak */
    uint64_t earlier_bytes, dip_bytes;     /* the rise before, and how far it fell afterwards */
};

/** Adds a moment at which the level changed, in time order. */
void aftermath_add(struct aftermath *aftermath, const struct timeline_point *now);

/** Whether the level left the peak for good, and no earlier rise came near it. */
bool aftermath_is_short(const struct aftermath *aftermath);

#endif
