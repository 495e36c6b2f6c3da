/* SPDX-License-Identifier: MIT */
/*
 * See timeline.h.
 */
#include "tools/timeline.h"

#define FIRST_SPAN_NS 1000

static bool is_higher(const struct timeline_point *a, const struct timeline_point *b)
{
    if (a->requested_bytes != b->requested_bytes)
        return a->requested_bytes > b->requested_bytes;
    return a->driver_bytes > b->driver_bytes;
}

static void span_join(struct timeline_span *span, const struct timeline_span *later)
{
    if (!later->used)
        return;
    if (!span->used || is_higher(&later->highest, &span->highest))
        span->highest = later->highest;
    span->last = later->last;
    span->used = true;
}

static void spans_double(struct timeline *timeline)
{
    for (size_t i = 0; i < TIMELINE_SPANS; i++) {
        struct timeline_span joined = 2 * i < TIMELINE_SPANS ? timeline->span[2 * i]
                                                             : (struct timeline_span){0};

        if (2 * i + 1 < TIMELINE_SPANS)
            span_join(&joined, &timeline->span[2 * i + 1]);
        timeline->span[i] = joined;
    }
    timeline->span_ns *= 2;
}

void timeline_add(struct timeline *timeline, const struct timeline_point *point)
{
    const struct timeline_span moment = {.highest = *point, .last = *point, .used = true};

    if (!timeline->span_ns)
        timeline->span_ns = FIRST_SPAN_NS;
    while (point->time_ns / timeline->span_ns >= TIMELINE_SPANS)
        spans_double(timeline);
    span_join(&timeline->span[point->time_ns / timeline->span_ns], &moment);
}

size_t timeline_points(const struct timeline *timeline, struct timeline_point *ret_points)
{
    size_t count = 0;

    for (size_t i = 0; i < TIMELINE_SPANS; i++) {
        const struct timeline_span *span = &timeline->span[i];

        if (!span->used)
            continue;
        ret_points[count++] = span->highest;
        if (span->last.time_ns != span->highest.time_ns)
            ret_points[count++] = span->last;
    }
    return count;
}
