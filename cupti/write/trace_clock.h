/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds since a beginning, for the price of reading the time-stamp counter.
 *
 * Where the counter is invariant and the kernel itself keeps time by it, its rate is measured
 * against CLOCK_MONOTONIC: roughly at the start, then again and again over a growing baseline, so
 * that the error stays in microseconds however long the program runs. A correction changes the
 * rate and never the present, so time does not go backwards. Elsewhere it is clock_gettime.
 *
 * Threading: every function but init from any thread; reading is lock-free.
 */
#ifndef CUPTI_WRITE_TRACE_CLOCK_H
#define CUPTI_WRITE_TRACE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** One linear piece of the clock; guarded by `version`, odd while it changes. */
struct trace_clock {
    uint64_t start_ns;     /* CLOCK_MONOTONIC at the beginning; immutable after init */
    uint64_t start_ticks;  /* counter at the beginning; immutable after init */
    bool use_counter;      /* immutable after init */
    atomic_uint version;   /* sequence lock over the fields below */
    atomic_ullong ticks;   /* counter where this piece begins */
    atomic_ullong ns;      /* time where this piece begins */
    atomic_ullong rate;    /* nanoseconds per tick, times 2^32 */
    atomic_ullong horizon; /* ticks after which the rate is measured again */
};

/** Begins now. Takes a fraction of a millisecond to measure the counter. */
void trace_clock_init(struct trace_clock *clock);

uint64_t trace_clock_now(struct trace_clock *clock);

#endif
