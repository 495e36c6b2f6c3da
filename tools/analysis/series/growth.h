/* SPDX-License-Identifier: MIT */
/*
 * Sites that grow: they keep more and more memory and never give it back.
 *
 * While a trace is replayed, the live blocks of each site are noted at most 32 times: when the
 * notes are full, every other one is dropped, and later ones are taken half as often. A site's
 * level changes only by its own blocks, so it is constant from one note to the next.
 *
 * At the end each site is judged from its first allocation to the end of the run, before the
 * program frees everything: over its steps if it has any, else over time and over allocations. It
 * grows if a line fits its blocks, or its bytes, on one of these axes; it rose in the first half of
 * the time; and it still rises in the last quarter. So neither a burst at the start nor a level
 * that was reached is growth.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_GROWTH_H
#define TOOLS_ANALYSIS_SERIES_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROWTH_NOTES 32
#define GROWTH_SITES 16384 /* the first ones; later ones are not looked at */
#define GROWTH_LEAST 8     /* steps that a line over steps needs */

/** Time without a call that is significant: a busy machine makes shorter pauses. */
#define GROWTH_REST_NS UINT64_C(300000000)

struct growth_note {
    uint64_t time_ns, order, step; /* order: allocations of the program until then */
    uint64_t blocks, bytes;
};

/** Notes of one site: at most GROWTH_NOTES, with space for few where few come. */
struct growth_track {
    struct growth_note *note, last;
    unsigned notes, room;
    uint64_t events, stride; /* every stride-th is noted; 0: none yet */
};

/** Of all sites, as their rows are numbered. */
struct growth_tracks {
    struct growth_track *row;
    size_t rows, room;
};

/** A site that grows: figures of the fitted line. */
struct growth_site {
    size_t row;                       /* in the tallies */
    uint64_t blocks, bytes;           /* grown */
    double blocks_per_x, bytes_per_x; /* x: steps, else allocations of the program */
    double fit;                       /* r squared */
    bool of_bytes;                    /* the blocks do not grow in number but in size */
    uint64_t duration_ns;             /* in which it grew */
};

/** Where the judgement ends, and on which axis. */
struct growth_end {
    uint64_t time_ns, order, steps;
    uint64_t first_step; /* notes before it are the program's start */
    uint64_t peak_bytes; /* of the program */
};

/** Notes what a site has. Errors: -ENOMEM. */
int growth_tracks_add(struct growth_tracks *tracks, size_t row, const struct growth_note *note);

/** Returns the sites that grow, most blocks first; free() the rows. Errors: -ENOMEM. */
int growth_find(const struct growth_tracks *tracks, const struct growth_end *end,
                struct growth_site **ret_rows, size_t *ret_count);

/** Returns a site's memory at a time, as far as the notes say. */
uint64_t growth_bytes_at(const struct growth_tracks *tracks, size_t row, uint64_t time_ns);

void growth_tracks_done(struct growth_tracks *tracks);

/** Least squares through `count` points. r squared is 0 for a level line. */
void growth_fit(const double *x, const double *y, size_t count, double *ret_slope, double *ret_fit);

#endif
