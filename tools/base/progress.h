/* SPDX-License-Identifier: MIT */
/*
 * A progress line on the terminal during long reads: percent, MiB, time to go. Written to stderr,
 * only if that is a terminal, only for large or long reads, and erased when the work is done.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_BASE_PROGRESS_H
#define TOOLS_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;
    uint64_t total_bytes, done_bytes;
    uint64_t begin_ns, shown_ns;
    uint64_t next_bytes, step_bytes; /* the clock is read at next_bytes, then once a step */
    bool wanted, shown;
};

/** No progress from here on (-q). */
void progress_silence(void);

/** Begins a read of so many bytes. Less than a mebibyte is read at once and has no progress. */
void progress_begin(struct progress *ret_progress, const char *what, uint64_t total_bytes);

/** Begins work in which each addition takes long, however few bytes it counts. */
void progress_begin_slow(struct progress *ret_progress, const char *what, uint64_t total_bytes);

/** Counts bytes that are done. */
void progress_add(struct progress *progress, uint64_t bytes);

/** Clears the line. */
void progress_end(struct progress *progress);

#endif
