/* SPDX-License-Identifier: MIT */
/* The pauses of a loop that polls, if it cannot be woken: 20 us at first, 5 ms at most. */
#ifndef CUPTI_BASE_BACKOFF_H
#define CUPTI_BASE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cupti/base/clock.h"

struct backoff {
    long ns; /* of the last pause; 0: there was none */
};

/** Pauses, twice as long as the last time. False, without a pause: the end has come. */
static inline bool backoff_pause(struct backoff *backoff, uint64_t end_ns)
{
    static const long first_ns = 20000, most_ns = 5000000;

    if (monotonic_ns() >= end_ns)
        return false;
    backoff->ns = !backoff->ns ? first_ns : backoff->ns < most_ns / 2 ? 2 * backoff->ns : most_ns;
    nanosleep(&(struct timespec){.tv_nsec = backoff->ns}, NULL);
    return true;
}

#endif
