/* SPDX-License-Identifier: MIT */
/*
 * Each value below 16 has its own bucket. Above, the bucket is given by the position of the
 * highest bit and the four bits after it.
 */
#include "cupti/base/histogram.h"

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    shift = 63 - (unsigned)__builtin_clzll(value) - 4;
    return HISTOGRAM_STEPS * (shift + 1) + (unsigned)((value >> shift) & (HISTOGRAM_STEPS - 1));
}

/** The largest value of a bucket. */
static uint64_t bucket_last(unsigned bucket)
{
    unsigned shift;

    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    shift = bucket / HISTOGRAM_STEPS - 1;
    return ((uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << shift) +
           ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->bucket[bucket_of(value)]++;
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille)
{
    uint64_t wanted = (histogram->count * per_mille + 999) / 1000, seen = 0;

    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->bucket[bucket];
        if (seen >= wanted && seen) {
            uint64_t last = bucket_last(bucket);

            return last < histogram->max ? last : histogram->max;
        }
    }
    return 0;
}
