/* SPDX-License-Identifier: MIT */
/*
 * A mark is held by the chain and by each fence that has it. The chain drops those that have
 * passed, and those that a newer one of the same stream, or of the context, covers.
 */
#include "engine/work_marks.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/device.h"
#include "pool/base/stream.h"

struct work_mark {
    CUevent event;
    cupool_stream stream; /* CUPOOL_STREAM_NONE: of the context */
    unsigned holders;     /* guarded by the lock */
    struct work_mark *older;
};

struct work_fence {
    unsigned count;
    struct work_mark *marks[];
};

void work_marks_init(struct work_marks *marks)
{
    pthread_mutex_init(&marks->lock, NULL);
}

/* The lock is held. */
static void mark_drop(struct cupool_device *device, struct work_mark *mark)
{
    if (--mark->holders > 0)
        return;
    device_event_give(device, mark->event);
    free(mark);
}

static int event_query(struct cupool_device *device, CUevent event)
{
    CUstreamCaptureMode mode;
    int error = device_enter_relaxed(device, &mode);

    if (error < 0)
        return error;
    error = driver_error(device->driver->event_query(event));
    device_leave_relaxed(device, mode);
    return error == 0 ? 1 : error == -EINPROGRESS ? 0 : error;
}

/* Takes marks out of the chain that have passed, or that the newest one covers. The lock is held.
 */
static void chain_prune(struct cupool_device *device, bool query)
{
    struct work_mark *newest = device->marks.newest;

    for (struct work_mark **at = &device->marks.newest; *at;) {
        struct work_mark *mark = *at;
        bool covered = mark != newest && (newest->stream == CUPOOL_STREAM_NONE ||
                                          stream_same(mark->stream, newest->stream));

        if (covered || (query && event_query(device, mark->event) == 1)) {
            *at = mark->older;
            newest = mark == newest ? *at : newest;
            mark_drop(device, mark);
        } else {
            at = &mark->older;
        }
    }
}

static int mark_add(struct cupool_device *device, cupool_stream stream, CUevent event)
{
    struct work_mark *mark = malloc(sizeof(*mark));

    if (!mark) {
        device_event_give(device, event);
        return -ENOMEM;
    }
    pthread_mutex_lock(&device->marks.lock);
    *mark = (struct work_mark){event, stream, 1, device->marks.newest};
    device->marks.newest = mark;
    chain_prune(device, false);
    pthread_mutex_unlock(&device->marks.lock);
    return 0;
}

int work_mark_stream(struct cupool_device *device, cupool_stream stream)
{
    const struct kv_backend backend = device_kv_backend(device);
    uint64_t fence;
    int error = backend.fence_record(backend.state, stream, &fence);

    return error < 0 ? error : mark_add(device, stream, (CUevent)(uintptr_t)fence);
}

int work_mark_context(struct cupool_device *device)
{
    CUevent event = NULL;
    int error;

    if (!device->driver->context_record)
        return -ENOTSUP;
    error = device_enter(device);
    if (error < 0)
        return error;
    error = device_event_take(device, &event);
    if (error == 0)
        error = driver_error(device->driver->context_record(device->context, event));
    device_leave(device);
    if (error == 0)
        return mark_add(device, CUPOOL_STREAM_NONE, event);
    if (event)
        device_event_give(device, event);
    return error;
}

int work_fence_make(struct cupool_device *device, uint64_t *ret_fence)
{
    unsigned count = 0;

    pthread_mutex_lock(&device->marks.lock);
    chain_prune(device, true);
    for (struct work_mark *mark = device->marks.newest; mark; mark = mark->older)
        count++;
    struct work_fence *fence = malloc(sizeof(*fence) + count * sizeof(*fence->marks));
    if (fence) {
        fence->count = 0;
        for (struct work_mark *mark = device->marks.newest; mark; mark = mark->older) {
            mark->holders++;
            fence->marks[fence->count++] = mark;
        }
    }
    pthread_mutex_unlock(&device->marks.lock);
    if (!fence)
        return -ENOMEM;
    *ret_fence = (uintptr_t)fence;
    return 0;
}

int work_fence_query(struct cupool_device *device, uint64_t fence)
{
    const struct work_fence *of = (const struct work_fence *)(uintptr_t)fence;
    int passed = 1;

    for (unsigned at = 0; at < of->count && passed == 1; at++)
        passed = event_query(device, of->marks[at]->event);
    return passed;
}

int work_fence_wait(struct cupool_device *device, uint64_t fence)
{
    const struct work_fence *of = (const struct work_fence *)(uintptr_t)fence;
    CUstreamCaptureMode mode;
    int error = device_enter_relaxed(device, &mode);

    if (error < 0)
        return error;
    for (unsigned at = 0; at < of->count && error == 0; at++)
        error = driver_error(device->driver->event_wait(of->marks[at]->event));
    device_leave_relaxed(device, mode);
    return error;
}

void work_fence_give(struct cupool_device *device, uint64_t fence)
{
    struct work_fence *of = (struct work_fence *)(uintptr_t)fence;

    pthread_mutex_lock(&device->marks.lock);
    for (unsigned at = 0; at < of->count; at++)
        mark_drop(device, of->marks[at]);
    pthread_mutex_unlock(&device->marks.lock);
    free(of);
}

void work_marks_done(struct cupool_device *device)
{
    for (struct work_mark *mark = device->marks.newest, *older; mark; mark = older) {
        older = mark->older;
        mark_drop(device, mark);
    }
    device->marks.newest = NULL;
    pthread_mutex_destroy(&device->marks.lock);
}
