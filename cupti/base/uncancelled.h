/* SPDX-License-Identifier: MIT */
/*
 * Work that a pending pthread_cancel must not interrupt.
 *
 * The program may cancel a thread that is in our code: while it holds a lock of ours, or owns a
 * descriptor. Every call of libc that can wait is such a point, and a driver function may be one.
 * With UNCANCELLED at the head of a block, the thread's state is as it was when the block is left,
 * and the request acts later, at a point of the program's own.
 *
 * Costs two atomic operations, so it stands on paths that leave the process anyway.
 */
#ifndef CUPTI_BASE_UNCANCELLED_H
#define CUPTI_BASE_UNCANCELLED_H

#include <pthread.h>

static inline int uncancelled_begin(void)
{
    int before = PTHREAD_CANCEL_ENABLE;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void uncancelled_end(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

#define UNCANCELLED                                                                                \
    __attribute__((cleanup(uncancelled_end), unused)) int uncancelled_before = uncancelled_begin()

#endif
