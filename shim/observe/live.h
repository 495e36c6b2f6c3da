/* SPDX-License-Identifier: MIT */
/*
 * The live page of this process: the statistics of all pools and of the memory outside them, for
 * `cupool top` and `cupool metrics`. There is no thread of our own: whichever thread calls when the
 * page is due writes it, so the page is as old as the program's last call at most.
 *
 * Threading: every function from any thread; live_open and live_close once.
 */
#ifndef SHIM_OBSERVE_LIVE_H
#define SHIM_OBSERVE_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cupti/base/likely.h"
#include "cupti/live/live_page.h"

extern _Atomic(struct live_page *) live_page;

/** Makes the page if the option `live` asks for one. */
void live_open(const char *command);

/** Writes all statistics anew. False: another thread is writing the page. */
bool live_publish(void);

/**
 * Counts a block of `bytes` that came, or went if negative. True when the page is due at once
 * because the thread has moved 1 MiB since the last time, or in a long burst 1/64 of what the page
 * shows; at most 1,024 times in a row, and once a millisecond.
 */
bool live_moved(int64_t bytes, uint64_t now_ns);

/** Notes the size of a device for its next publication. */
void live_device(int ordinal, uint64_t total_bytes);

/** Writes the last figures and removes the page. */
void live_close(void);

/** In the child after fork: drops the page, which is the parent's. */
void live_fork_child(void);

static inline bool live_is_on(void)
{
    return atomic_load_explicit(&live_page, memory_order_relaxed);
}

/** Reads a clock precise enough to decide when the page is due; 0 when there is none. */
static inline uint64_t live_clock_ns(void)
{
    struct timespec now;

    if (likely(!live_is_on()))
        return 0;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
