/* SPDX-License-Identifier: MIT */
#include "tools/analysis/series/timeline.h"

#include <string.h>

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
    if (!span->used || later->lowest.requested_bytes < span->lowest.requested_bytes)
        span->lowest = later->lowest;
    if (!span->used || later->driver.driver_bytes > span->driver.driver_bytes)
        span->driver = later->driver;
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
    const struct timeline_span moment = {
        .highest = *point, .lowest = *point, .driver = *point, .last = *point, .used = true};

    if (!timeline->span_ns)
        timeline->span_ns = FIRST_SPAN_NS;
    while (point->time_ns / timeline->span_ns >= TIMELINE_SPANS)
        spans_double(timeline);
    span_join(&timeline->span[point->time_ns / timeline->span_ns], &moment);
}

/** Inserts a point after those that are not later, at most once. */
static size_t point_insert(struct timeline_point *points, size_t count,
                           const struct timeline_point *point)
{
    size_t kept = 0, i;

    for (size_t j = 0; j < count; j++)
        if (memcmp(&points[j], point, sizeof *point) != 0)
            points[kept++] = points[j];
    for (i = kept; i && points[i - 1].time_ns > point->time_ns; i--)
        points[i] = points[i - 1];
    points[i] = *point;
    return kept + 1;
}

size_t timeline_points(const struct timeline *timeline, struct timeline_point *ret_points)
{
    size_t count = 0;

    for (size_t i = 0; i < TIMELINE_SPANS; i++) {
        const struct timeline_span *span = &timeline->span[i];
        struct timeline_point *points = ret_points + count;
        size_t found = 0;

        if (!span->used)
            continue;
        found = point_insert(points, found, &span->highest);
        found = point_insert(points, found, &span->driver);
        found = point_insert(points, found, &span->lowest);
        count += point_insert(points, found, &span->last);
    }
    return count;
}
