/* SPDX-License-Identifier: MIT */
/*
 * The clock of backends that have none of their own, and of what is measured around a pool. The
 * preload has the same of its own (cupti/base/clock.h), since neither module includes the other.
 *
 * Threading: any thread.
 */
#ifndef POOL_BASE_CLOCK_H
#define POOL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t pool_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
