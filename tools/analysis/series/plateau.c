/* SPDX-License-Identifier: MIT */
#include "tools/analysis/series/plateau.h"

#define SPREAD_PART 8  /* of the peak */
#define LEVEL_PART  2  /* of the peak */
#define RISE_PART   64 /* of the peak: less is no load */
#define LENGTH_PART 5  /* of the cells */
#define CALLS_LEAST 16

static void cell_join(struct plateau_cell *cell, const struct plateau_cell *later)
{
    if (later->lowest_bytes < cell->lowest_bytes)
        cell->lowest_bytes = later->lowest_bytes;
    if (later->highest_bytes > cell->highest_bytes)
        cell->highest_bytes = later->highest_bytes;
    cell->last = later->last;
}

static void cells_halve(struct plateau_series *series)
{
    for (size_t i = 0; i < PLATEAU_CELLS / 2; i++) {
        series->cell[i] = series->cell[2 * i];
        cell_join(&series->cell[i], &series->cell[2 * i + 1]);
    }
    series->cells = PLATEAU_CELLS / 2;
    series->stride *= 2;
    series->used = series->stride;
}

void plateau_series_add(struct plateau_series *series, const struct timeline_point *point)
{
    const struct plateau_cell call = {.lowest_bytes = point->requested_bytes,
                                      .highest_bytes = point->requested_bytes,
                                      .first_ns = point->time_ns,
                                      .last = *point};

    if (!series->stride)
        series->stride = series->used = 1;
    if (series->cells == PLATEAU_CELLS && series->used == series->stride)
        cells_halve(series);
    if (!series->cells || series->used == series->stride) {
        series->cell[series->cells++] = call;
        series->used = 1;
    } else {
        cell_join(&series->cell[series->cells - 1], &call);
        series->used++;
    }
}

struct timeline_point plateau_before(const struct plateau_series *series, size_t cell)
{
    return cell ? series->cell[cell - 1].last : (struct timeline_point){0};
}

/** The end of the run that begins at a cell. */
static size_t run_end(const struct plateau_series *series, size_t begin, uint64_t peak)
{
    uint64_t lowest = series->cell[begin].lowest_bytes;
    uint64_t highest = series->cell[begin].highest_bytes;
    size_t end = begin;

    for (; end < series->cells; end++) {
        const struct plateau_cell *cell = &series->cell[end];

        lowest = cell->lowest_bytes < lowest ? cell->lowest_bytes : lowest;
        highest = cell->highest_bytes > highest ? cell->highest_bytes : highest;
        if (highest - lowest > peak / SPREAD_PART || lowest < peak / LEVEL_PART)
            break;
    }
    return end;
}

/** The lowest level of some cells. */
static uint64_t lowest_of(const struct plateau_series *series, size_t begin, size_t end)
{
    uint64_t lowest = UINT64_MAX;

    for (size_t i = begin; i < end; i++)
        if (series->cell[i].lowest_bytes < lowest)
            lowest = series->cell[i].lowest_bytes;
    return lowest;
}

/** Finds where the level stays: anything below all of its later half belongs to the load. */
static size_t load_skip(const struct plateau_series *series, size_t begin, size_t end,
                        uint64_t peak)
{
    size_t before = end;

    while (begin < end && begin != before) {
        uint64_t stays = lowest_of(series, begin + (end - begin) / 2, end);

        before = begin;
        while (begin < end &&
               plateau_before(series, begin).requested_bytes + peak / RISE_PART < stays)
            begin++;
    }
    return begin;
}

bool plateau_find(const struct plateau_series *series, struct plateau *ret_plateau)
{
    uint64_t peak = 0, lowest;
    size_t begin = 0, end = 0, load = 0;

    for (size_t i = 0; i < series->cells; i++)
        if (series->cell[i].highest_bytes > peak)
            peak = series->cell[i].highest_bytes;
    for (size_t i = 0; i < series->cells && peak; i++) {
        size_t here = run_end(series, i, peak);

        if (here <= i || here - i <= end - begin)
            continue;
        begin = i;
        end = here;
    }
    begin = load_skip(series, begin, end, peak);
    if ((end - begin) * LENGTH_PART < series->cells || (end - begin) * series->stride < CALLS_LEAST)
        return false;
    lowest = lowest_of(series, begin, end);
    while (load < begin && series->cell[load].highest_bytes < lowest)
        load++;
    load += load < begin; /* the cell in which it is reached */
    *ret_plateau = (struct plateau){load, begin, end};
    return true;
}
