/* SPDX-License-Identifier: MIT */
/*
 * Rules for records, shared by the writer and every reader.
 *
 * Threading: pure functions.
 */
#ifndef CUPTI_FORMAT_TRACE_RECORD_H
#define CUPTI_FORMAT_TRACE_RECORD_H

#include "cupti/base/likely.h"
#include "cupti/format/trace_format.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRACE_LATENCY_PLAIN UINT32_C(0x80000000) /* shorter ones are plain nanoseconds */

/**
 * Encodes a latency for a record. Below 2^31 ns it is exact. A longer one is a binary
 * floating-point number: below the highest bit, 5 bits hold the number of doublings above 2^31 ns,
 * and 26 bits the fraction. It is rounded down by less than one part in 2^26; the longest is 292
 * years.
 */
static inline uint32_t trace_latency(uint64_t ns)
{
    unsigned highest;

    if (likely(ns < TRACE_LATENCY_PLAIN))
        return (uint32_t)ns;
    highest = 63 - (unsigned)__builtin_clzll(ns);
    if (highest > 62)
        return UINT32_MAX;
    return TRACE_LATENCY_PLAIN | (highest - 31) << 26 |
           ((uint32_t)(ns >> (highest - 26)) & UINT32_C(0x3ffffff));
}

/** The nanoseconds of a latency that a record keeps. */
static inline uint64_t trace_latency_ns(uint32_t latency)
{
    if (latency < TRACE_LATENCY_PLAIN)
        return latency;
    return (uint64_t)(UINT32_C(0x4000000) | (latency & UINT32_C(0x3ffffff)))
           << ((latency >> 26 & 31) + 5);
}

/** The longest latency of a trace without TRACE_FLAG_SCALED: this value, or more. */
#define TRACE_LATENCY_CUT UINT32_C(0x83ffffff) /* trace_latency(UINT32_MAX) */

/** Whether a record takes effect when its call begins; others do when it ends. */
static inline int trace_record_is_early(const struct trace_record *record)
{
    return record->kind == TRACE_EVENT_FREE || record->kind == TRACE_EVENT_SEGMENT_FREE;
}

/**
 * Sets the time of a call's record. Where the latency is rounded, the time at which the record
 * takes effect stays exact, and the other end of the call is adjusted.
 */
static inline void trace_record_date(struct trace_record *record, uint64_t begin_ns,
                                     uint64_t end_ns)
{
    record->latency = trace_latency(end_ns > begin_ns ? end_ns - begin_ns : 0);
    record->time_ns = end_ns;
    if (unlikely(record->latency >= TRACE_LATENCY_PLAIN) && trace_record_is_early(record))
        record->time_ns = begin_ns + trace_latency_ns(record->latency);
}

/**
 * Returns when an event takes effect: a free when its call begins, anything else when its call
 * ends. So memory is freed before it is handed out again, whichever thread records first.
 */
static inline uint64_t trace_record_order_ns(const struct trace_record *record)
{
    uint64_t latency_ns = trace_record_is_early(record) ? trace_latency_ns(record->latency) : 0;

    return record->time_ns > latency_ns ? record->time_ns - latency_ns : 0;
}

#ifdef __cplusplus
}
#endif

#endif
