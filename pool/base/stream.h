/* SPDX-License-Identifier: MIT */
/*
 * When two handles name one stream, whose work ends in order.
 */
#ifndef POOL_BASE_STREAM_H
#define POOL_BASE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

/** CU_STREAM_PER_THREAD: another stream in each thread, so not even the same as itself. */
#define STREAM_PER_THREAD ((void *)(uintptr_t)2)

static inline bool stream_same(const void *stream, const void *other)
{
    return stream == other && stream != STREAM_PER_THREAD;
}

#endif
