/* SPDX-License-Identifier: MIT */
/*
 * A level is sampled on a grid of equal parts of an axis, so that a time without events has the
 * same weight as one with many.
 */
#include "tools/analysis/series/growth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GRID         32
#define LEAST_BLOCKS 4
#define LEAST_FIT    0.9
#define REST_PART    4    /* of the time since the first block */
#define STILL_PART   0.05 /* of the whole rise: less is no rise */
#define BYTES_PART   0.05 /* of the program's peak: growth of sizes below it is no finding */

static void notes_halve(struct growth_track *track)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < track->notes; i += 2)
        track->note[kept++] = track->note[i];
    track->notes = kept;
    track->stride *= 2;
}

static struct growth_track *track_get(struct growth_tracks *tracks, size_t row)
{
    if (row >= tracks->room) {
        size_t room = tracks->room ? 2 * tracks->room : 64;
        struct growth_track *grown;

        while (room <= row)
            room *= 2;
        grown = realloc(tracks->row, room * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + tracks->room, 0, (room - tracks->room) * sizeof *grown);
        tracks->row = grown;
        tracks->room = room;
    }
    if (row >= tracks->rows)
        tracks->rows = row + 1;
    return &tracks->row[row];
}

static int track_note(struct growth_track *track, const struct growth_note *note)
{
    if (track->notes == track->room) {
        unsigned room = track->room ? 2 * track->room : 2;
        struct growth_note *grown = realloc(track->note, room * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        track->note = grown;
        track->room = room;
    }
    track->note[track->notes++] = *note;
    return 0;
}

int growth_tracks_add(struct growth_tracks *tracks, size_t row, const struct growth_note *note)
{
    struct growth_track *track;

    if (row >= GROWTH_SITES)
        return 0;
    track = track_get(tracks, row);
    if (!track)
        return -ENOMEM;
    if (!track->stride)
        track->stride = 1;
    track->last = *note;
    if (track->events++ % track->stride)
        return 0;
    if (track->notes == GROWTH_NOTES)
        notes_halve(track);
    return track_note(track, note);
}

void growth_tracks_done(struct growth_tracks *tracks)
{
    for (size_t row = 0; row < tracks->rows; row++)
        free(tracks->row[row].note);
    free(tracks->row);
    *tracks = (struct growth_tracks){0};
}

void growth_fit(const double *x, const double *y, size_t count, double *ret_slope, double *ret_fit)
{
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0, yy = 0;

    for (size_t i = 0; i < count; i++) {
        mean_x += x[i] / (double)count;
        mean_y += y[i] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
        yy += (y[i] - mean_y) * (y[i] - mean_y);
    }
    *ret_slope = xx > 0 ? xy / xx : 0;
    *ret_fit = xx > 0 && yy > 0 ? xy * xy / (xx * yy) : 0;
}

/** The axes of a note. */
enum axis { AXIS_TIME, AXIS_ORDER, AXIS_STEP, AXES };

static uint64_t on_axis(const struct growth_note *note, enum axis axis)
{
    return axis == AXIS_TIME ? note->time_ns : axis == AXIS_ORDER ? note->order : note->step;
}

/** The notes of a site that are judged. */
struct span {
    struct growth_note note[GROWTH_NOTES + 1];
    size_t notes;
    uint64_t begin[AXES], end[AXES];
};

static void span_fill(const struct growth_track *track, const struct growth_end *end,
                      struct span *ret_span)
{
    ret_span->notes = 0;
    for (unsigned i = 0; i < track->notes; i++)
        if (track->note[i].time_ns < end->time_ns && track->note[i].step >= end->first_step)
            ret_span->note[ret_span->notes++] = track->note[i];
    if (track->last.time_ns < end->time_ns && track->last.step >= end->first_step)
        ret_span->note[ret_span->notes++] = track->last;
    for (int axis = 0; axis < AXES; axis++) {
        ret_span->begin[axis] = on_axis(&ret_span->note[0], (enum axis)axis);
        ret_span->end[axis] = axis == AXIS_TIME    ? end->time_ns
                              : axis == AXIS_ORDER ? end->order
                                                   : end->steps;
    }
}

static double value_of(const struct growth_note *note, bool bytes)
{
    return (double)(bytes ? note->bytes : note->blocks);
}

/** What there was at a part of an axis, from 0 to 1. */
static double value_at(const struct span *span, enum axis axis, double part, bool bytes)
{
    double at = (double)span->begin[axis] + part * (double)(span->end[axis] - span->begin[axis]);
    double value = 0;

    for (size_t i = 0; i < span->notes && (double)on_axis(&span->note[i], axis) <= at; i++)
        value = value_of(&span->note[i], bytes);
    return value;
}

/** Fits a line through the grid of an axis; the slope is for the whole axis. */
static void grid_fit(const struct span *span, enum axis axis, bool bytes, double *ret_rise,
                     double *ret_fit)
{
    double x[GRID], y[GRID];

    for (int i = 0; i < GRID; i++) {
        x[i] = (i + 0.5) / GRID;
        y[i] = value_at(span, axis, x[i], bytes);
    }
    growth_fit(x, y, GRID, ret_rise, ret_fit);
}

/** A line through the notes themselves. */
static void notes_fit(const struct span *span, enum axis axis, bool bytes, double *ret_slope,
                      double *ret_fit)
{
    double x[GROWTH_NOTES + 1], y[GROWTH_NOTES + 1];
    size_t count = 0;

    for (size_t i = 0; i < span->notes; i++) {
        double at = (double)(on_axis(&span->note[i], axis) - span->begin[axis]);

        count -= count && x[count - 1] == at; /* the last one of a step counts */
        x[count] = at;
        y[count++] = value_of(&span->note[i], bytes);
    }
    growth_fit(x, y, count, ret_slope, ret_fit);
}

static bool rises_to_the_end(const struct span *span, enum axis axis, bool bytes)
{
    double first = value_at(span, axis, 0, bytes), middle = value_at(span, axis, 0.5, bytes);
    double late = value_at(span, axis, 0.75, bytes), last = value_at(span, axis, 1, bytes);
    double least = STILL_PART * (last - first);

    return last > first && middle - first >= least && last - late >= least;
}

/** Whether it came to rest, for longer than scheduling can explain. */
static bool rests_at_the_end(const struct span *span, bool bytes)
{
    uint64_t whole_ns = span->end[AXIS_TIME] - span->begin[AXIS_TIME];
    uint64_t risen_ns = span->begin[AXIS_TIME], rest_ns;
    double most = 0;

    for (size_t i = 0; i < span->notes; i++)
        if (value_of(&span->note[i], bytes) > most) {
            most = value_of(&span->note[i], bytes);
            risen_ns = span->note[i].time_ns;
        }
    rest_ns = span->end[AXIS_TIME] - risen_ns;
    return rest_ns > GROWTH_REST_NS && rest_ns > whole_ns / REST_PART;
}

/** Fills in the figures of one measure. False: it does not grow. */
static bool measure_judge(const struct span *span, const struct growth_end *end, bool bytes,
                          struct growth_site *ret_site)
{
    enum axis axis = end->steps >= GROWTH_LEAST ? AXIS_STEP : AXIS_ORDER;
    double least = bytes ? BYTES_PART * (double)end->peak_bytes : LEAST_BLOCKS - 0.5;
    double by_time, fit, slope, other_slope, ignored, rise, run;

    if (span->end[axis] <= span->begin[axis] || span->end[AXIS_TIME] <= span->begin[AXIS_TIME] ||
        !rises_to_the_end(span, axis, bytes) ||
        (axis != AXIS_STEP && rests_at_the_end(span, bytes)))
        return false;
    notes_fit(span, axis, bytes, &slope, &fit);
    notes_fit(span, axis, !bytes, &other_slope, &ignored);
    run = (double)(span->end[axis] - span->begin[axis]);
    rise = slope * run;
    if (axis != AXIS_STEP) {
        grid_fit(span, AXIS_TIME, bytes, &ignored, &by_time);
        fit = by_time > fit ? by_time : fit;
    }
    if (fit < LEAST_FIT || rise < least)
        return false;
    ret_site->fit = fit;
    ret_site->of_bytes = bytes;
    ret_site->blocks_per_x = bytes ? other_slope : slope;
    ret_site->bytes_per_x = bytes ? slope : other_slope;
    rise = ret_site->blocks_per_x * run;
    ret_site->blocks = rise > 0 ? (uint64_t)(rise + 0.5) : 0;
    rise = ret_site->bytes_per_x * run;
    ret_site->bytes = rise > 0 ? (uint64_t)(rise + 0.5) : 0;
    ret_site->duration_ns = span->end[AXIS_TIME] - span->begin[AXIS_TIME];
    return true;
}

static bool site_judge(const struct growth_track *track, const struct growth_end *end,
                       struct growth_site *ret_site)
{
    struct span span;

    span_fill(track, end, &span);
    if (span.notes < LEAST_BLOCKS)
        return false;
    return measure_judge(&span, end, false, ret_site) || measure_judge(&span, end, true, ret_site);
}

static int compare(const void *a, const void *b)
{
    const struct growth_site *left = a, *right = b;

    if (left->blocks != right->blocks)
        return left->blocks > right->blocks ? -1 : 1;
    if (left->bytes != right->bytes)
        return left->bytes > right->bytes ? -1 : 1;
    return left->row < right->row ? -1 : left->row > right->row;
}

int growth_find(const struct growth_tracks *tracks, const struct growth_end *end,
                struct growth_site **ret_rows, size_t *ret_count)
{
    struct growth_site *rows = calloc(tracks->rows + 1, sizeof *rows);
    size_t count = 0;

    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < tracks->rows; i++) {
        rows[count].row = i;
        if (tracks->row[i].notes && site_judge(&tracks->row[i], end, &rows[count]))
            count++;
    }
    qsort(rows, count, sizeof *rows, compare);
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

uint64_t growth_bytes_at(const struct growth_tracks *tracks, size_t row, uint64_t time_ns)
{
    const struct growth_track *track = row < tracks->rows ? &tracks->row[row] : NULL;
    uint64_t bytes = 0;

    for (unsigned i = 0; track && i < track->notes && track->note[i].time_ns <= time_ns; i++)
        bytes = track->note[i].bytes;
    if (track && track->notes && track->last.time_ns <= time_ns)
        bytes = track->last.bytes;
    return bytes;
}
