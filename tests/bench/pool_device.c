/* SPDX-License-Identifier: MIT */
/*
 * The device of benchmarks and replays.
 */
#include "tests/bench/pool_device.h"

#include <errno.h>
#include <time.h>

#include "pool/base/clock.h"

static int device_segment_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    struct pool_device *device = state;

    device->segment_calls++;
    uint64_t used = device->used_bytes + bytes;
    if (device->capacity_bytes != 0 && used > device->capacity_bytes)
        return -ENOMEM;
    device->used_bytes = used;
    if (used > device->peak_bytes)
        device->peak_bytes = used;
    *ret_address = device->next_address;
    device->next_address += bytes;
    return 0;
}

static int device_segment_free(void *state, uint64_t address, size_t bytes)
{
    struct pool_device *device = state;

    device->segment_calls++;
    device->used_bytes -= bytes;
    return 0;
}

static int device_fence_record(void *state, pool_fence *ret_fence)
{
    struct pool_device *device = state;

    *ret_fence = ++device->fence_calls;
    return 0;
}

static int device_fence_query(void *state, pool_fence fence)
{
    struct pool_device *device = state;

    device->fence_calls++;
    return 1;
}

static int device_fence_wait(void *state, pool_fence fence, uint64_t most_ns)
{
    return 1;
}

static void device_fence_release(void *state, pool_fence fence)
{
}

static int device_wait(void *state)
{
    return 0;
}

static int device_memory_info(void *state, size_t *ret_free_bytes, size_t *ret_total_bytes)
{
    struct pool_device *device = state;
    uint64_t capacity = device->capacity_bytes;

    *ret_total_bytes = capacity;
    *ret_free_bytes = capacity != 0 ? capacity - device->used_bytes : SIZE_MAX / 2;
    return 0;
}

static uint64_t device_clock_ns(void *state)
{
    return pool_clock_ns();
}

/* ---- mapped memory: a handle is its size ---- */

static int device_range_reserve(void *state, size_t bytes, uint64_t *ret_address)
{
    struct pool_device *device = state;

    *ret_address = device->next_address;
    device->next_address += bytes;
    return 0;
}

static int device_range_release(void *state, uint64_t address, size_t bytes)
{
    return 0;
}

static int device_page_create(void *state, size_t bytes, pool_page_handle *ret_handle)
{
    uint64_t address;
    int error = device_segment_allocate(state, bytes, &address);

    if (error == 0)
        *ret_handle = bytes;
    return error;
}

static int device_page_release(void *state, pool_page_handle handle)
{
    return device_segment_free(state, 0, handle);
}

static int device_page_map(void *state, uint64_t address, size_t bytes, pool_page_handle handle)
{
    struct pool_device *device = state;

    device->segment_calls++;
    return 0;
}

static int device_page_change(void *state, uint64_t address, size_t bytes)
{
    struct pool_device *device = state;

    device->segment_calls++;
    return 0;
}

static int device_memory_copy(void *state, uint64_t target, uint64_t source, size_t bytes)
{
    return 0;
}

void pool_device_init(struct pool_device *device)
{
    *device = (struct pool_device){.next_address = UINT64_C(1) << 40};
}

struct pool_backend pool_device_backend(struct pool_device *device)
{
    return (struct pool_backend){
        .state = device,
        .segment_allocate = device_segment_allocate,
        .segment_free = device_segment_free,
        .fence_record = device_fence_record,
        .fence_query = device_fence_query,
        .fence_wait = device_fence_wait,
        .fence_release = device_fence_release,
        .device_wait = device_wait,
        .memory_info = device_memory_info,
        .clock_ns = device_clock_ns,
        .range_reserve = device_range_reserve,
        .range_release = device_range_release,
        .page_create = device_page_create,
        .page_release = device_page_release,
        .page_map = device_page_map,
        .page_enable = device_page_change,
        .page_unmap = device_page_change,
        .memory_copy = device_memory_copy,
    };
}
