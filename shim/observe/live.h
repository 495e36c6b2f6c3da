/* SPDX-License-Identifier: MIT */
/*
 * The live page of this process: the figures of all pools and of the memory that went past them,
 * for `cupool top` and `cupool metrics`. Written by whichever thread happens to call when it is
 * due; there is no thread of our own, so a page is as old as the program's last call at most.
 *
 * Threading: every function from any thread; live_open and live_close once.
 */
#ifndef SHIM_OBSERVE_LIVE_H
#define SHIM_OBSERVE_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cupti/live/live_page.h"

extern _Atomic(struct live_page *) live_page;

/** Makes the page if the option `live` asks for one. */
void live_open(const char *command);

/** Writes every figure anew. False: another thread is writing the page. */
bool live_publish(void);

/**
 * Whether the page is due at once because a block of `bytes` came, or went if negative: a thread
 * has moved 1 MiB since. That happens at most 1,024 times in a row and once a millisecond.
 */
bool live_moved(int64_t bytes, uint64_t now_ns);

/** Notes the size of a device, for its next publication. */
void live_device(int ordinal, uint64_t total_bytes);

/** Writes the last figures and removes the page. */
void live_close(void);

/** In the child after fork: the page is the parent's. */
void live_fork_child(void);

static inline bool live_is_on(void)
{
    return atomic_load_explicit(&live_page, memory_order_relaxed);
}

/** A clock good enough to tell when the page is due; 0 when there is none. */
static inline uint64_t live_clock_ns(void)
{
    struct timespec now;
    if (__builtin_expect(!live_is_on(), 1))
        return 0;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
