/* SPDX-License-Identifier: MIT */
/*
 * Segments by cuMemAlloc; a fence stands for the work that was marked when memory was freed.
 */
#include "engine/pool_device.h"

#include <errno.h>
#include <time.h>

#include "engine/work_marks.h"
#include "pool/base/clock.h"
#include "pool/pool.h"

static int segment_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    return device_memory_allocate(state, bytes, ret_address);
}

static int segment_free(void *state, uint64_t address, size_t bytes)
{
    return device_memory_free(state, address, bytes);
}

static int fence_record(void *state, pool_fence *ret_fence)
{
    return work_fence_make(state, ret_fence);
}

static int fence_query(void *state, pool_fence fence)
{
    return work_fence_query(state, fence);
}

static uint64_t clock_ns(void *state)
{
    return pool_clock_ns();
}

/* The driver's wait has no timeout; a bounded wait polls. */
static int fence_wait_bounded(void *state, pool_fence fence, uint64_t most_ns)
{
    const struct timespec pause = {.tv_nsec = 100000};
    uint64_t begin = clock_ns(state);
    int error = fence_query(state, fence);

    while (error == 0 && clock_ns(state) - begin < most_ns) {
        nanosleep(&pause, NULL);
        error = fence_query(state, fence);
    }
    return error;
}

static int fence_wait(void *state, pool_fence fence, uint64_t most_ns)
{
    if (most_ns != POOL_WAIT_FOREVER)
        return fence_wait_bounded(state, fence, most_ns);
    int error = work_fence_wait(state, fence);
    return error < 0 ? error : 1;
}

static void fence_release(void *state, pool_fence fence)
{
    work_fence_give(state, fence);
}

static int device_wait(void *state)
{
    return cupool_device_wait(state, CUPOOL_STREAM_NONE);
}

static int memory_fill(void *state, uint64_t address, size_t bytes, uint8_t value, bool after_work)
{
    return cupool_device_fill(state, (void *)(uintptr_t)address, value, bytes, CUPOOL_STREAM_NONE);
}

static int memory_info(void *state, size_t *ret_free_bytes, size_t *ret_total_bytes)
{
    struct cupool_device_statistics stats;
    int error = cupool_device_stats(state, &stats);

    if (error < 0)
        return error;
    *ret_free_bytes = stats.free_bytes;
    *ret_total_bytes = stats.total_bytes;
    return 0;
}

struct pool_backend device_pool_backend(struct cupool_device *device)
{
    return (struct pool_backend){
        .state = device,
        .segment_allocate = segment_allocate,
        .segment_free = segment_free,
        .fence_record = fence_record,
        .fence_query = fence_query,
        .fence_wait = fence_wait,
        .fence_release = fence_release,
        .device_wait = device_wait,
        .memory_fill = memory_fill,
        .memory_info = memory_info,
        .clock_ns = clock_ns,
    };
}
