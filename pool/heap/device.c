/* SPDX-License-Identifier: MIT */
/*
 * Every call has the same shape: clock, call, count, notify the observer.
 */
#include "pool/heap/device.h"

#include <errno.h>

#include "pool/heap/figures.h"

void device_observe(struct pool *pool, const struct pool_event *event)
{
    if (pool->config.observe)
        pool->config.observe(pool->config.observe_state, event);
}

static uint64_t clock_now(struct pool *pool)
{
    return !pool->config.observe ? 0 : pool->backend.clock_ns(pool->backend.state);
}

void device_request_note(struct pool *pool, enum pool_request request, uint64_t address,
                         uint64_t bytes)
{
    device_observe(pool, &(struct pool_event){.kind = POOL_EVENT_REQUEST,
                                              .address = address,
                                              .bytes = bytes,
                                              .detail = request});
}

/* Not inlined: the event would occupy the program's stack below the driver's call. */
static POOL_NOINLINE void observe_since(struct pool *pool, uint64_t start_ns,
                                        enum pool_event_kind kind, int error, uint64_t address,
                                        uint64_t bytes)
{
    if (pool->config.observe)
        device_observe(pool,
                       &(struct pool_event){.kind = kind,
                                            .error = error,
                                            .address = address,
                                            .bytes = bytes,
                                            .duration_ns = pool_minus(clock_now(pool), start_ns)});
}

/* Sampled here, because the memory may be gone by the next sample. */
static void reserved_peak_note(struct pool *pool, uint64_t more_bytes)
{
    uint64_t reserved = count_get(&pool->reserved) + more_bytes;

    if (reserved > count_get(&pool->reserved_peak))
        count_set(&pool->reserved_peak, reserved);
}

int device_segment_allocate(struct pool *pool, size_t bytes, uint64_t *ret_address)
{
    uint64_t start_ns = clock_now(pool), address = 0;
    int error = pool->backend.segment_allocate(pool->backend.state, bytes, &address);

    figures_count(pool, COUNTER_driver_calls, 1);
    if (error == 0) {
        figures_count(pool, COUNTER_segment_allocations, 1);
        reserved_peak_note(pool, bytes);
        *ret_address = address;
    }
    atomic_store_explicit(&pool->refused, error < 0, memory_order_relaxed);
    observe_since(pool, start_ns, POOL_EVENT_SEGMENT_ALLOCATE, error, address, bytes);
    return error;
}

int device_segment_free(struct pool *pool, uint64_t address, size_t bytes)
{
    uint64_t start_ns = clock_now(pool);
    int error = pool->backend.segment_free(pool->backend.state, address, bytes);

    figures_count(pool, COUNTER_driver_calls, 1);
    if (error == 0) {
        atomic_store_explicit(&pool->refused, false, memory_order_relaxed);
        figures_count(pool, COUNTER_segment_frees, 1);
        figures_count(pool, COUNTER_returned_bytes, bytes);
    }
    observe_since(pool, start_ns, POOL_EVENT_SEGMENT_FREE, error, address, bytes);
    return error;
}

uint64_t device_room(struct pool *pool, uint64_t *ret_total_bytes)
{
    size_t free_bytes = 0, total_bytes = 0;

    if (ret_total_bytes)
        *ret_total_bytes = 0;
    if (!pool->backend.memory_info)
        return UINT64_MAX / 2;
    uint64_t start_ns = clock_now(pool);
    figures_count(pool, COUNTER_driver_calls, 1);
    int error = pool->backend.memory_info(pool->backend.state, &free_bytes, &total_bytes);
    if (error < 0)
        free_bytes = 0;
    else if (ret_total_bytes)
        *ret_total_bytes = total_bytes;
    observe_since(pool, start_ns, POOL_EVENT_ROOM, error, 0, free_bytes);
    return free_bytes;
}

int device_fence_record(struct pool *pool, struct device_epoch epoch, pool_fence *ret_fence)
{
    uint64_t start_ns = clock_now(pool);
    pool_fence fence = 0;
    int error = pool->backend.fence_record(pool->backend.state, &fence);

    figures_count(pool, COUNTER_driver_calls, 1);
    if (error == 0) {
        figures_count(pool, COUNTER_fences, 1);
        *ret_fence = fence;
    }
    observe_since(pool, start_ns, POOL_EVENT_FENCE, error, epoch.number, epoch.bytes);
    return error;
}

int device_fence_query(struct pool *pool, pool_fence fence, uint32_t number)
{
    uint64_t start_ns = clock_now(pool);
    int error = pool->backend.fence_query(pool->backend.state, fence);

    figures_count(pool, COUNTER_driver_calls, 1);
    figures_count(pool, COUNTER_fence_queries, 1);
    observe_since(pool, start_ns, POOL_EVENT_QUERY, error < 0 ? error : 0, number, error == 1);
    return error;
}

static POOL_NOINLINE void wait_observe(struct pool *pool, uint64_t start_ns,
                                       struct device_epoch epoch, int error, bool vain)
{
    if (pool->config.observe)
        device_observe(pool,
                       &(struct pool_event){.kind = POOL_EVENT_WAIT,
                                            .error = error < 0 ? error : 0,
                                            .address = epoch.number,
                                            .bytes = epoch.bytes,
                                            .detail = vain,
                                            .duration_ns = pool_minus(clock_now(pool), start_ns)});
}

int device_fence_wait(struct pool *pool, pool_fence fence, struct device_epoch epoch,
                      uint64_t most_ns)
{
    uint64_t start_ns = clock_now(pool);

    figures_count(pool, COUNTER_driver_calls, 1);
    int error = pool->backend.fence_wait(pool->backend.state, fence, most_ns);
    wait_observe(pool, start_ns, epoch, error, error == 0);
    return error;
}

int device_wait(struct pool *pool, uint64_t bytes)
{
    uint64_t start_ns = clock_now(pool);

    figures_count(pool, COUNTER_driver_calls, 1);
    int error = pool->backend.device_wait(pool->backend.state);
    wait_observe(pool, start_ns, (struct device_epoch){0, bytes}, error, false);
    return error;
}

int device_settle(struct pool *pool, uint64_t most_ns)
{
    uint64_t start_ns = clock_now(pool);

    if (!pool->backend.device_settle)
        return -ENOTSUP;
    figures_count(pool, COUNTER_driver_calls, 1);
    int error = pool->backend.device_settle(pool->backend.state, most_ns);
    wait_observe(pool, start_ns, (struct device_epoch){0}, error, error == 0);
    return error;
}

int device_own_idle(struct pool *pool)
{
    return pool->backend.own_idle ? pool->backend.own_idle(pool->backend.state) : 0;
}

void device_fence_release(struct pool *pool, pool_fence fence)
{
    if (fence != 0)
        pool->backend.fence_release(pool->backend.state, fence);
}

int device_fill(struct pool *pool, uint64_t address, size_t bytes, enum pool_fill fill)
{
    if (fill == POOL_FILL_NONE)
        return 0;
    figures_count(pool, COUNTER_driver_calls, 1);
    return pool->backend.memory_fill(pool->backend.state, address, bytes,
                                     fill == POOL_FILL_ZERO ? 0 : POOL_POISON_BYTE,
                                     pool->config.reuse == POOL_REUSE_IMMEDIATE);
}

/* ---- mapped memory ---- */

/* For these calls only failures are events, with the number of earlier ones: a success is part
 * of a map or an unmap, which is itself an event. */
static POOL_NOINLINE void page_call_note(struct pool *pool, enum pool_refusal call, uint64_t bytes,
                                         int error)
{
    uint64_t before = atomic_fetch_add_explicit(&pool->page_calls[call - 1], 1,
                                                memory_order_relaxed);

    if (error < 0)
        device_observe(pool, &(struct pool_event){.kind = POOL_EVENT_REFUSAL,
                                                  .error = error,
                                                  .address = before,
                                                  .bytes = bytes,
                                                  .detail = call});
}

static int device_range_reserve(void *state, size_t bytes, uint64_t *ret_address)
{
    struct pool *pool = state;

    figures_count(pool, COUNTER_driver_calls, 1);
    return pool->backend.range_reserve(pool->backend.state, bytes, ret_address);
}

static int device_range_release(void *state, uint64_t address, size_t bytes)
{
    struct pool *pool = state;

    figures_count(pool, COUNTER_driver_calls, 1);
    return pool->backend.range_release(pool->backend.state, address, bytes);
}

static void mapping_add(struct pool *pool, uint64_t start_ns)
{
    if (pool->config.observe)
        count_add_shared(&pool->mapping_ns, pool_minus(clock_now(pool), start_ns));
}

static int device_page_create(void *state, size_t bytes, pool_page_handle *ret_handle)
{
    struct pool *pool = state;
    uint64_t start_ns = clock_now(pool), limit = pool->config.limit_bytes;

    if (limit != 0 && count_get(&pool->reserved) + bytes > limit)
        return -ENOMEM;
    int error = pool->backend.page_create(pool->backend.state, bytes, ret_handle);
    figures_count(pool, COUNTER_driver_calls, 1);
    figures_count(pool, COUNTER_segment_allocations, error == 0);
    reserved_peak_note(pool, error == 0 ? bytes : 0);
    atomic_store_explicit(&pool->refused, error < 0, memory_order_relaxed);
    mapping_add(pool, start_ns);
    page_call_note(pool, POOL_REFUSAL_CREATE, bytes, error);
    return error;
}

static int device_page_release(void *state, pool_page_handle handle)
{
    struct pool *pool = state;
    int error = pool->backend.page_release(pool->backend.state, handle);

    figures_count(pool, COUNTER_driver_calls, 1);
    figures_count(pool, COUNTER_segment_frees, error == 0);
    if (error == 0)
        atomic_store_explicit(&pool->refused, false, memory_order_relaxed);
    page_call_note(pool, POOL_REFUSAL_RELEASE, 0, error);
    return error;
}

static int device_page_map(void *state, uint64_t address, size_t bytes, pool_page_handle handle)
{
    struct pool *pool = state;
    uint64_t start_ns = clock_now(pool);
    int error = pool->backend.page_map(pool->backend.state, address, bytes, handle);

    figures_count(pool, COUNTER_driver_calls, 1);
    mapping_add(pool, start_ns);
    page_call_note(pool, POOL_REFUSAL_MAP, bytes, error);
    return error;
}

static int device_page_enable(void *state, uint64_t address, size_t bytes)
{
    struct pool *pool = state;
    uint64_t start_ns = clock_now(pool);
    int error = pool->backend.page_enable(pool->backend.state, address, bytes);

    figures_count(pool, COUNTER_driver_calls, 1);
    figures_count(pool, COUNTER_maps, error == 0);
    uint64_t before_ns = atomic_exchange_explicit(&pool->mapping_ns, 0, memory_order_relaxed);
    observe_since(pool, pool_minus(start_ns, before_ns), POOL_EVENT_MAP, error, address, bytes);
    return error;
}

static int device_page_unmap(void *state, uint64_t address, size_t bytes)
{
    struct pool *pool = state;
    uint64_t start_ns = clock_now(pool);
    int error = pool->backend.page_unmap(pool->backend.state, address, bytes);

    figures_count(pool, COUNTER_driver_calls, 1);
    figures_count(pool, COUNTER_unmaps, error == 0);
    observe_since(pool, start_ns, POOL_EVENT_UNMAP, error, address, bytes);
    return error;
}

static int device_memory_copy(void *state, uint64_t target, uint64_t source, size_t bytes)
{
    struct pool *pool = state;

    figures_count(pool, COUNTER_driver_calls, 1);
    int error = pool->backend.memory_copy(pool->backend.state, target, source, bytes);
    page_call_note(pool, POOL_REFUSAL_COPY, bytes, error);
    return error;
}

struct pool_backend device_mapped_backend(struct pool *pool)
{
    return (struct pool_backend){
        .state = pool,
        .range_reserve = device_range_reserve,
        .range_release = device_range_release,
        .page_create = device_page_create,
        .page_release = device_page_release,
        .page_map = device_page_map,
        .page_enable = device_page_enable,
        .page_unmap = device_page_unmap,
        .memory_copy = device_memory_copy,
    };
}
