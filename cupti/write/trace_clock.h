/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds since the start of the trace, at the cost of reading the time-stamp counter.
 *
 * The counter is used where it is invariant and the kernel itself keeps time by it. Its rate is
 * measured against CLOCK_MONOTONIC: roughly at the start, then repeatedly over a growing baseline,
 * so the error stays within microseconds however long the program runs. A correction changes the
 * rate but never the current time, so time does not go backwards. Elsewhere the clock is
 * clock_gettime.
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

/** Starts the clock. Takes a fraction of a millisecond to measure the counter. */
void trace_clock_init(struct trace_clock *clock);

uint64_t trace_clock_now(struct trace_clock *clock);

#endif
