/* SPDX-License-Identifier: MIT */
/*
 * Sites whose live blocks grow steadily: what is kept at every step is never given back.
 *
 * While a trace is replayed the live blocks of all sites are noted now and then, at steps or at
 * equal numbers of events. At most 64 notes are kept: when they are full every other one goes, and
 * from then on notes are half as frequent. In the end a line is fitted through each site's notes.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_GROWTH_H
#define TOOLS_ANALYSIS_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROWTH_NOTES 64
#define GROWTH_SITES 16384 /* the first ones; later ones are not looked at */
#define GROWTH_LEAST 8     /* notes that a line needs */

struct tallies;

struct growth_note {
    uint64_t x; /* steps, or nanoseconds */
    uint64_t *blocks, *bytes;
    size_t sites; /* noted then; later ones had none */
};

struct growth_series {
    struct growth_note note[GROWTH_NOTES];
    size_t notes;
    uint64_t offered, stride; /* every stride-th offer is kept; stride 0 is 1 */
};

/** A site that grows: figures of the fitted line. */
struct growth_site {
    size_t row;             /* in the tallies */
    uint64_t blocks, bytes; /* grown, from the first to the last note */
    double blocks_per_x, bytes_per_x;
    double fit; /* r squared */
};

/** Offers a note. Errors: -ENOMEM. */
int growth_series_offer(struct growth_series *series, const struct tallies *sites, uint64_t x);

/**
 * Fits a line through the notes of the sites from `begin` to `end` (x, inclusive). Candidates grew
 * by at least four blocks with r squared of 0.9 or more. Most blocks first; free() the rows.
 * Errors: -ENOMEM.
 */
int growth_find(const struct growth_series *series, uint64_t begin, uint64_t end,
                struct growth_site **ret_rows, size_t *ret_count);

void growth_series_done(struct growth_series *series);

/** Least squares through `count` points. r squared is 0 for a level line. */
void growth_fit(const double *x, const double *y, size_t count, double *ret_slope, double *ret_fit);

#endif
