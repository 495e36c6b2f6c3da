/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks share: a clock, and the end at an error.
 *
 * Threading: any thread.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/** Ends the benchmark if a step failed. */
static inline void need(int error, const char *what)
{
    if (error >= 0)
        return;
    fprintf(stderr, "%s: %s: %d\n", program_invocation_short_name, what, error);
    exit(1);
}

#endif
