/* SPDX-License-Identifier: MIT */
#include "tools/analysis/growth.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/analysis/analysis.h"

#define LEAST_BLOCKS 4
#define LEAST_FIT    0.9

static void note_done(struct growth_note *note)
{
    free(note->blocks);
    free(note->bytes);
    *note = (struct growth_note){0};
}

void growth_series_done(struct growth_series *series)
{
    for (size_t i = 0; i < series->notes; i++)
        note_done(&series->note[i]);
    series->notes = 0;
}

/** Every other note goes; the first stays. */
static void notes_halve(struct growth_series *series)
{
    size_t kept = 0;

    for (size_t i = 0; i < series->notes; i++) {
        if (i % 2)
            note_done(&series->note[i]);
        else
            series->note[kept++] = series->note[i];
    }
    series->notes = kept;
    series->stride *= 2;
}

static int note_take(struct growth_note *note, const struct tallies *sites, uint64_t x)
{
    size_t rows = sites->rows < GROWTH_SITES ? sites->rows : GROWTH_SITES;

    *note = (struct growth_note){.x = x,
                                 .blocks = calloc(rows + 1, sizeof(uint64_t)),
                                 .bytes = calloc(rows + 1, sizeof(uint64_t)),
                                 .sites = rows};
    if (!note->blocks || !note->bytes) {
        note_done(note);
        return -ENOMEM;
    }
    for (size_t i = 0; i < rows; i++) {
        note->blocks[i] = sites->row[i].live_blocks.current;
        note->bytes[i] = sites->row[i].live_bytes.current;
    }
    return 0;
}

int growth_series_offer(struct growth_series *series, const struct tallies *sites, uint64_t x)
{
    int r;

    if (!series->stride)
        series->stride = 1;
    if (series->offered++ % series->stride)
        return 0;
    if (series->notes == GROWTH_NOTES) {
        notes_halve(series);
        if ((series->offered - 1) % series->stride)
            return 0;
    }
    r = note_take(&series->note[series->notes], sites, x);
    if (r == 0)
        series->notes++;
    return r;
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

static uint64_t value_at(const struct growth_note *note, const uint64_t *values, size_t row)
{
    return row < note->sites ? values[row] : 0;
}

/** Whether a site is a candidate, from the notes of a part. */
static bool site_judge(const struct growth_note *note, size_t notes, size_t row,
                       struct growth_site *ret_site)
{
    double x[GROWTH_NOTES], blocks[GROWTH_NOTES], bytes[GROWTH_NOTES], ignored;
    struct growth_site site = {.row = row};
    double run;

    for (size_t i = 0; i < notes; i++) {
        x[i] = (double)(note[i].x - note[0].x);
        blocks[i] = (double)value_at(&note[i], note[i].blocks, row);
        bytes[i] = (double)value_at(&note[i], note[i].bytes, row);
    }
    growth_fit(x, blocks, notes, &site.blocks_per_x, &site.fit);
    growth_fit(x, bytes, notes, &site.bytes_per_x, &ignored);
    run = x[notes - 1];
    if (site.fit < LEAST_FIT || site.blocks_per_x * run < LEAST_BLOCKS - 0.5)
        return false;
    site.blocks = (uint64_t)(site.blocks_per_x * run + 0.5);
    site.bytes = site.bytes_per_x > 0 ? (uint64_t)(site.bytes_per_x * run + 0.5) : 0;
    *ret_site = site;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct growth_site *left = a, *right = b;

    if (left->blocks != right->blocks)
        return left->blocks > right->blocks ? -1 : 1;
    return left->row < right->row ? -1 : left->row > right->row;
}

int growth_find(const struct growth_series *series, uint64_t begin, uint64_t end,
                struct growth_site **ret_rows, size_t *ret_count)
{
    size_t first = 0, last = series->notes, count = 0, sites;
    struct growth_site *rows;

    while (first < last && series->note[first].x < begin)
        first++;
    while (last > first && series->note[last - 1].x > end)
        last--;
    *ret_rows = NULL;
    *ret_count = 0;
    if (last - first < GROWTH_LEAST)
        return 0;
    sites = series->note[last - 1].sites;
    rows = calloc(sites + 1, sizeof *rows);
    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < sites; i++)
        count += site_judge(&series->note[first], last - first, i, &rows[count]);
    qsort(rows, count, sizeof *rows, compare);
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}
