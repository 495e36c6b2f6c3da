/* SPDX-License-Identifier: MIT */
/*
 * The run in equal slices of time, each with its own figures. Those of any range of slices follow
 * from them: sums of counts, maxima of levels, and every row's memory when requested memory was
 * highest in the range.
 *
 * A slice begins with the memory in use at that time, so a slice without events shows a pause.
 * Counts are differences of the tallies between two borders; only a row's memory at the slice's
 * peak is tracked as it changes, like a level (tally.h). When rows and slices together are too
 * many, slices are joined in pairs, so memory is bounded whatever the trace.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_SLICES_H
#define TOOLS_ANALYSIS_SERIES_SLICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/replay/tally.h"
#include "tools/analysis/series/timeline.h"

#define SLICES_MOST    64
#define SLICES_LEAST   4
#define SLICES_ENTRIES (96 * 1024) /* of all slices; more only where SLICES_LEAST hold them */

enum slice_table {
    SLICE_TOTAL,
    SLICE_SITES,
    SLICE_PATHS,
    SLICE_SIZES,
    SLICE_LIBRARIES,
    SLICE_APIS,
    SLICE_KINDS,
    SLICE_TABLES
};

/** Figures of a row in a slice. */
struct slice_figures {
    uint64_t at_peak, peak; /* held at the slice's peak; its own highest */
    uint64_t requested_bytes;
    uint64_t leaked_bytes; /* allocated in the slice and never freed */
    uint64_t longest_ns;   /* call */
    uint32_t allocations, frees, failures, hits, leaked_blocks; /* UINT32_MAX: that or more */
};

struct slice_entry {
    struct slice_figures figures;
    uint32_t row;
};

/** Rows that have something in a slice, in their order. */
struct slice_list {
    struct slice_entry *entry;
    size_t entries;
};

/** Adjacent blocks at a slice's peak that are drawn as one. */
struct slice_run {
    uint64_t address, bytes, waste_bytes, hole_bytes;
    uint32_t site; /* of the largest part */
    uint32_t blocks, holes;
    bool begins; /* an extent */
    bool gap;    /* addresses without memory, not to scale */
};

struct slice {
    struct timeline_point peak; /* when requested was highest */
    uint64_t driver_most, calls_asked, calls_driver, invalid_frees;
    struct slice_list table[SLICE_TABLES];
    struct slice_run *run;
    size_t runs;
    bool mapped; /* the runs are known */
};

/** State of a row while a slice is open, and its value at the slice's begin. */
struct slice_track {
    uint64_t serial, at_peak, peak, longest_ns;
    uint64_t allocations, frees, failures, hits, requested_bytes;
    uint64_t leaked_bytes, leaked_blocks;
};

struct slices {
    uint64_t width_ns; /* of a slice */
    size_t count;      /* slices of the run */
    size_t open;       /* the one under way; count: all are closed */
    uint64_t serial;   /* of the open one's peak */
    struct slice slice[SLICES_MOST];
    struct slice_track *track[SLICE_TABLES];
    size_t tracks[SLICE_TABLES];
    size_t entries;
    bool short_of_memory;
};

/** For a run until `end_ns`. */
void slices_begin(struct slices *slices, uint64_t end_ns);

/** The slice of a time. */
size_t slices_at(const struct slices *slices, uint64_t time_ns);

/** A row's level is about to change; its current value. */
void slices_before(struct slices *slices, enum slice_table table, size_t row, uint64_t now_bytes);
/** It has changed. */
void slices_after(struct slices *slices, enum slice_table table, size_t row, uint64_t now_bytes);
/** A call of a row took so long. */
void slices_call(struct slices *slices, enum slice_table table, size_t row, uint64_t latency_ns);
/** A block allocated then was never freed. */
void slices_leak(struct slices *slices, enum slice_table table, size_t row, uint64_t time_ns,
                 uint64_t bytes);

/** Notes changed levels. True: requested memory is higher than before in this slice. */
bool slices_level(struct slices *slices, const struct timeline_point *now);

/** What rows have so far counts for no slice. */
void slices_skip(struct slices *slices, enum slice_table table, const struct tally *row,
                 size_t rows);

/** Takes the rows' figures of the open slice. */
void slices_take(struct slices *slices, enum slice_table table, const struct tally *row,
                 size_t rows);

/** Closes the open slice after its figures were taken, and opens the next with these levels. */
void slices_next(struct slices *slices, const struct timeline_point *now);

/** A row's figures in a closed slice; all 0 where it has none. */
struct slice_figures slices_get(const struct slices *slices, size_t slice, enum slice_table table,
                                size_t row);

/** Drops data that only open slices need; all are closed. */
void slices_close(struct slices *slices);

void slices_done(struct slices *slices);

#endif
