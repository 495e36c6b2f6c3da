/* SPDX-License-Identifier: MIT */
/*
 * The pool's device operations with guards around them. A fence of the pool is signalled when the
 * inner backend's fence is signalled and the batches that were open at its recording are done.
 */
#include "shim/guard/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "cupti/base/clock.h"
#include "shim/guard/blocks.h"
#include "shim/guard/device.h"
#include "shim/guard/guard.h"

#define PAUSE_NS 20000

/* A kernel of the program that never ends may leave ours no place on the device. */
#define OWN_WAIT_NS (UINT64_C(4) * 1000000000)

struct guard_fence {
    pool_fence inner;
    uint64_t number; /* of the last batch before it */
    bool sealed;     /* batches were left open, because it was not recorded yet */
};

/* The inner operations of a pool: constant, and kept until its context is forgotten. */
static struct pool_backend inner_of(void *state)
{
    struct pool_backend inner = {0};

    pthread_mutex_lock(&guard_lock);
    const struct guard_device *device = guard_device_of(state);
    if (device)
        inner = device->inner;
    pthread_mutex_unlock(&guard_lock);
    return inner;
}

static int fence_record(void *state, pool_fence *ret_fence)
{
    const struct pool_backend inner = inner_of(state);
    struct guard_fence *fence = calloc(1, sizeof(*fence));
    int error = !fence               ? -ENOMEM
                : inner.fence_record ? inner.fence_record(state, &fence->inner)
                                     : -EIO;

    if (error < 0) {
        free(fence);
        if (error == -ENOTSUP)
            guard_fences_missing(state);
        return error;
    }
    fence->number = guard_batches_run(state, fence->inner, &fence->sealed);
    *ret_fence = (pool_fence)(uintptr_t)fence;
    return 0;
}

static bool batches_passed(void *state, uint64_t number)
{
    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(state);
    bool passed = !device || guard_device_poll(device, number);
    pthread_mutex_unlock(&guard_lock);
    return passed;
}

/* Waits for batches whose preceding work has completed. They take microseconds, so the pause is
 * short. */
static bool batches_await(void *state, uint64_t number, uint64_t most_ns)
{
    uint64_t begin_ns = monotonic_ns();

    while (!batches_passed(state, number)) {
        if (monotonic_ns() - begin_ns >= most_ns)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return true;
}

/* The program's work has completed. The guards' own work must not make the device look busy:
 * the pool gives memory back while the device is idle, and later it may not be. */
static bool own_work_passed(void *state, uint64_t number)
{
    if (batches_passed(state, number))
        return true;
    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(state);
    uint64_t most_ns = device && device->late ? FILL_WAIT_BUSY_NS : FILL_WAIT_NS;
    pthread_mutex_unlock(&guard_lock);
    bool passed = batches_await(state, number, most_ns);
    pthread_mutex_lock(&guard_lock);
    device = guard_device_of(state);
    if (device)
        device->late = !passed;
    pthread_mutex_unlock(&guard_lock);
    return passed;
}

/* The number of the last batch that lies before a fence which has passed. */
static uint64_t batches_before(void *state, const struct guard_fence *fence)
{
    return fence->sealed ? guard_batches_run_sealed(state) : fence->number;
}

static int fence_query(void *state, pool_fence handle)
{
    const struct pool_backend inner = inner_of(state);
    const struct guard_fence *fence = (const struct guard_fence *)(uintptr_t)handle;
    int done = inner.fence_query ? inner.fence_query(state, fence->inner) : 1;

    return done == 1 && !own_work_passed(state, batches_before(state, fence)) ? 0 : done;
}

static int fence_wait(void *state, pool_fence handle, uint64_t most_ns)
{
    const struct pool_backend inner = inner_of(state);
    const struct guard_fence *fence = (const struct guard_fence *)(uintptr_t)handle;
    uint64_t begin_ns = monotonic_ns();
    int done = inner.fence_wait ? inner.fence_wait(state, fence->inner, most_ns) : 1;

    if (done != 1)
        return done;
    uint64_t waited_ns = monotonic_ns() - begin_ns;
    if (most_ns == POOL_WAIT_FOREVER)
        most_ns = OWN_WAIT_NS;
    else
        most_ns = most_ns > waited_ns ? most_ns - waited_ns : 0;
    return batches_await(state, batches_before(state, fence), most_ns);
}

static bool fence_open(void *state, pool_fence handle)
{
    const struct pool_backend inner = inner_of(state);
    const struct guard_fence *fence = (const struct guard_fence *)(uintptr_t)handle;

    return inner.fence_open && inner.fence_open(state, fence ? fence->inner : 0);
}

static void fence_release(void *state, pool_fence handle)
{
    const struct pool_backend inner = inner_of(state);
    struct guard_fence *fence = (struct guard_fence *)(uintptr_t)handle;

    if (!fence)
        return;
    if (inner.fence_release)
        inner.fence_release(state, fence->inner);
    free(fence);
}

static int segment_free(void *state, uint64_t address, size_t bytes)
{
    guard_memory_gone(state, address, bytes);
    return inner_of(state).segment_free(state, address, bytes);
}

static int page_unmap(void *state, uint64_t address, size_t bytes)
{
    guard_memory_gone(state, address, bytes);
    return inner_of(state).page_unmap(state, address, bytes);
}

/* Finishes the batches as well: the work before them has completed, and the pool will hand the
 * blocks out again. */
static int device_wait(void *state)
{
    int error = inner_of(state).device_wait(state);

    if (error == 0)
        guard_batches_finish(state);
    return error;
}

void guard_backend_wrap(struct pool_backend *backend)
{
    backend->fence_record = fence_record;
    backend->fence_query = fence_query;
    backend->fence_wait = fence_wait;
    backend->fence_release = fence_release;
    backend->fence_open = fence_open;
    backend->device_wait = device_wait;
    backend->segment_free = segment_free;
    if (backend->page_unmap)
        backend->page_unmap = page_unmap;
}
