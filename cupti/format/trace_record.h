/* SPDX-License-Identifier: MIT */
/*
 * What holds for a record wherever it is looked at.
 *
 * Threading: pure functions.
 */
#ifndef CUPTI_FORMAT_TRACE_RECORD_H
#define CUPTI_FORMAT_TRACE_RECORD_H

#include "cupti/format/trace_format.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * When an event takes effect: a free when its call begins, anything else when its call ends. So
 * memory is freed before it is handed out again, whatever thread is faster to write it down.
 */
static inline uint64_t trace_record_order_ns(const struct trace_record *record)
{
    if (record->kind != TRACE_EVENT_FREE && record->kind != TRACE_EVENT_SEGMENT_FREE)
        return record->time_ns;
    return record->time_ns > record->latency_ns ? record->time_ns - record->latency_ns : 0;
}

#ifdef __cplusplus
}
#endif

#endif
