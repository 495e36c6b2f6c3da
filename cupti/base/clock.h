/* SPDX-License-Identifier: MIT */
/*
 * The clock of everything that measures or waits, in nanoseconds.
 *
 * Threading: any thread.
 */
#ifndef CUPTI_BASE_CLOCK_H
#define CUPTI_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
