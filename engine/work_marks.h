/* SPDX-License-Identifier: MIT */
/*
 * Marks of the device work that freed memory waits for.
 *
 * A mark is an event behind the work that a stream has when it frees, or behind that of the whole
 * context. A fence stands for all marks that have not passed. An event of the whole context breaks
 * every capture in it, so frees mark their own stream, which tells whether it is captured.
 *
 * Threading: every function from any thread.
 */
#ifndef ENGINE_WORK_MARKS_H
#define ENGINE_WORK_MARKS_H

#include <pthread.h>
#include <stdint.h>

#include "include/cupool/device.h"

struct work_mark;

struct work_marks {
    pthread_mutex_t lock;
    struct work_mark *newest; /* chain by `older`; guarded by the lock */
};

void work_marks_init(struct work_marks *marks);
/** Forgets all marks, and destroys their events. No fence is left. */
void work_marks_done(struct cupool_device *device);

/** Marks what the stream has so far. -EBUSY: it is captured; -ENOMEM; -EIO. */
int work_mark_stream(struct cupool_device *device, cupool_stream stream);
/** Marks what the context has so far. -ENOTSUP: the driver cannot; -EBUSY, -ENOMEM, -EIO. */
int work_mark_context(struct cupool_device *device);

/** Makes a fence of all marks so far. -ENOMEM. */
int work_fence_make(struct cupool_device *device, uint64_t *ret_fence);
/** 1 passed, 0 not yet, or an error. */
int work_fence_query(struct cupool_device *device, uint64_t fence);
/** Waits on the host. */
int work_fence_wait(struct cupool_device *device, uint64_t fence);
void work_fence_give(struct cupool_device *device, uint64_t fence);

#endif
