/* SPDX-License-Identifier: MIT */
/*
 * A progress line on the terminal during long reads or work: percent, MiB of what is read, time to
 * go. Written to stderr, only if that is a terminal, only if it is much or long, and erased when
 * the work is done.
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
    uint64_t next_bytes; /* before that the clock is not asked */
    bool wanted, shown;
    bool is_work; /* its bytes only measure it */
};

/** No progress from here on (-q). */
void progress_silence(void);

void progress_begin(struct progress *ret_progress, const char *what, uint64_t total_bytes);

/** The same for work about so many bytes, which the line does not name. */
void progress_begin_work(struct progress *ret_progress, const char *what, uint64_t total_bytes);

/** Counts bytes that are done. */
void progress_add(struct progress *progress, uint64_t bytes);

/** Clears the line. */
void progress_end(struct progress *progress);

#endif
