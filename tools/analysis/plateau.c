/* SPDX-License-Identifier: MIT */
#include "tools/analysis/plateau.h"

#define SLICES       256
#define SPREAD_PART  8 /* of the peak */
#define LEVEL_PART   2 /* of the peak */
#define LENGTH_PART  5 /* of the slices */
#define POINTS_LEAST 8

static uint64_t slice_begin_ns(size_t slice, uint64_t end_ns)
{
    return (uint64_t)((unsigned __int128)end_ns * slice / SLICES);
}

/** The highest level in each slice. */
static void slices_fill(const struct timeline_point *point, size_t points, uint64_t end_ns,
                        uint64_t ret_level[SLICES])
{
    uint64_t now = 0;
    size_t next = 0;

    for (size_t i = 0; i < SLICES; i++) {
        uint64_t slice_end_ns = slice_begin_ns(i + 1, end_ns);

        ret_level[i] = now;
        for (; next < points && point[next].time_ns < slice_end_ns; next++) {
            now = point[next].requested_bytes;
            if (now > ret_level[i])
                ret_level[i] = now;
        }
    }
}

/** The end of the run that begins at a slice. */
static size_t run_end(const uint64_t *level, size_t begin, uint64_t peak)
{
    uint64_t lowest = level[begin], highest = level[begin];
    size_t end = begin;

    for (; end < SLICES; end++) {
        if (level[end] < lowest)
            lowest = level[end];
        if (level[end] > highest)
            highest = level[end];
        if (highest - lowest > peak / SPREAD_PART || lowest < peak / LEVEL_PART)
            break;
    }
    return end;
}

bool plateau_find(const struct timeline_point *point, size_t points, uint64_t end_ns,
                  struct plateau *ret_plateau)
{
    uint64_t level[SLICES], peak = 0, lowest;
    size_t begin = 0, end = 0, load = 0;

    if (points < POINTS_LEAST || end_ns < SLICES)
        return false;
    slices_fill(point, points, end_ns, level);
    for (size_t i = 0; i < SLICES; i++)
        if (level[i] > peak)
            peak = level[i];
    for (size_t i = 0; i < SLICES && peak; i++) {
        size_t here = run_end(level, i, peak);

        if (here - i <= end - begin || here <= i)
            continue;
        begin = i;
        end = here;
    }
    if (end - begin < SLICES / LENGTH_PART)
        return false;
    end--; /* the level may begin to fall in the last one */
    lowest = level[begin];
    for (size_t i = begin; i < end; i++)
        if (level[i] < lowest)
            lowest = level[i];
    while (load < begin && level[load] < lowest)
        load++;
    *ret_plateau = (struct plateau){.load_end_ns = slice_begin_ns(load, end_ns),
                                    .steady_begin_ns = slice_begin_ns(begin, end_ns),
                                    .steady_end_ns = slice_begin_ns(end, end_ns)};
    return true;
}
