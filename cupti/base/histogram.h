/* SPDX-License-Identifier: MIT */
/*
 * A histogram of 64-bit values in constant memory: 16 linear steps to each doubling, so a quantile
 * is at most 1/16 above the true one. Minimum and maximum are exact.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_BASE_HISTOGRAM_H
#define CUPTI_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS   16
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * 61)

struct histogram {
    uint64_t count, sum, max;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/** Returns the value that `per_mille` of all values do not exceed; 0 when there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille);

#endif
