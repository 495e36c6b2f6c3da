/* SPDX-License-Identifier: MIT */
/*
 * Pools. Small blocks come from the pool's arena, which keeps its empty segments; large ones that
 * were freed wait in `cached` with their physical memory. Equation: reserved = segments * 2 MiB +
 * large; used = extents allocated and not yet freed in their stream.
 */
#include "tests/simgpu/driver/memory/pool.h"

#include <stdlib.h>
#include <string.h>

static struct handle_cache pool_cache = {
    HANDLE_POOL, sizeof(struct CUmemPoolHandle_st), {NULL}, {NULL}};
static LIST_HEAD(, CUmemPoolHandle_st) pools;

uint64_t pool_reserved(CUmemoryPool pool)
{
    return pool->arena.segment_count * PAGE_BYTES + pool->large_bytes;
}

void pool_describe(CUmemoryPool pool, struct observer_event *event)
{
    event->pool = (uintptr_t)pool;
    event->pool_bytes = pool_reserved(pool);
    event->pool_used_bytes = pool->used;
    event->pool_threshold_bytes = pool->threshold;
}

void pool_observe(enum observer_kind kind, CUmemoryPool pool, uint64_t keep_bytes)
{
    struct observer_event event = {.kind = kind,
                                   .device = pool->device ? (uint32_t)pool->device->ordinal : 0,
                                   .keep_bytes = keep_bytes};

    if (!observed)
        return;
    pool_describe(pool, &event);
    observed_tell(&event);
}

CUresult pool_create(struct device *device, CUmemoryPool *ret)
{
    CUmemoryPool made = handle_take(&pool_cache);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->device = device;
    made->arena = (struct arena){.device = device, .keeps_empty = true};
    LIST_INIT(&made->cached);
    made->large_bytes = made->used = made->used_high = made->reserved_high = 0;
    made->threshold = 0;
    made->live = 0;
    made->destroyed = false;
    made->reuse[0] = made->reuse[1] = made->reuse[2] = 1;
    memset(made->access, 0, sizeof made->access);
    for (int i = 0; i < device_count(); i++)
        if (!device || device->ordinal == i)
            made->access[i] = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    LIST_INSERT_HEAD(&pools, made, link);
    pool_observe(OBSERVER_POOL_CREATED, made, 0);
    *ret = made;
    return CUDA_SUCCESS;
}

CUresult pool_default(struct device *device, CUmemoryPool *ret)
{
    CUresult result = CUDA_SUCCESS;

    if (!device->pool_default)
        result = pool_create(device, &device->pool_default);
    if (result == CUDA_SUCCESS)
        *ret = device->pool_default;
    return result;
}

CUresult pool_current(struct device *device, CUmemoryPool *ret)
{
    if (!device->pool_current)
        return pool_default(device, ret);
    *ret = device->pool_current;
    return CUDA_SUCCESS;
}

void pool_trim(CUmemoryPool pool, uint64_t keep_bytes)
{
    while (pool_reserved(pool) > keep_bytes && !LIST_EMPTY(&pool->cached)) {
        struct allocation *first = LIST_FIRST(&pool->cached);

        pool->large_bytes -= first->extent;
        memory_give(first);
    }
    if (pool_reserved(pool) > keep_bytes)
        memory_trim(&pool->arena, pool_reserved(pool) - keep_bytes);
}

static void pool_end(CUmemoryPool pool)
{
    pool_trim(pool, 0);
    pool_observe(OBSERVER_POOL_DESTROYED, pool, 0);
    LIST_REMOVE(pool, link);
    handle_give(&pool_cache, pool);
}

void pool_destroy(CUmemoryPool pool)
{
    if (pool->device && pool->device->pool_current == pool)
        pool->device->pool_current = NULL;
    pool->destroyed = true;
    if (!pool->live)
        pool_end(pool);
}

void pools_trim_at_sync(struct device *device)
{
    CUmemoryPool each;

    LIST_FOREACH(each, &pools, link)
        if ((each->device == device || !each->device) && pool_reserved(each) > each->threshold)
            pool_trim(each, each->threshold);
}

void pools_trim_all(struct device *device)
{
    CUmemoryPool each;

    LIST_FOREACH(each, &pools, link)
        if (each->device == device)
            pool_trim(each, 0);
}

/* The tightest of the cached blocks that wastes at most half. */
static struct allocation *cached_take(CUmemoryPool pool, size_t bytes)
{
    size_t extent = memory_rounded(bytes);
    struct allocation *each, *best = NULL;

    LIST_FOREACH(each, &pool->cached, link)
        if (each->extent >= extent && each->extent / 2 <= extent &&
            (!best || each->extent < best->extent))
            best = each;
    if (best) {
        LIST_REMOVE(best, link);
        LIST_INSERT_HEAD(&memory_others, best, link);
        best->bytes = bytes;
        best->freeing = false;
        best->id = memory_next_id();
    }
    return best;
}

static CUresult block_take(CUmemoryPool pool, size_t bytes, struct allocation **ret)
{
    if (bytes >= PAGE_BYTES && (*ret = cached_take(pool, bytes)))
        return CUDA_SUCCESS;
    CUresult result = memory_take(&pool->arena, memory_unowned(&pool->arena), MEMORY_ASYNC, bytes,
                                  ret);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        pools_trim_all(pool->device);
        result = memory_take(&pool->arena, memory_unowned(&pool->arena), MEMORY_ASYNC, bytes, ret);
    }
    if (result == CUDA_SUCCESS && bytes >= PAGE_BYTES)
        pool->large_bytes += (*ret)->extent;
    return result;
}

CUresult pool_take(CUmemoryPool pool, size_t bytes, struct allocation **ret)
{
    struct allocation *made;
    CUresult result = block_take(pool, bytes, &made);

    if (result != CUDA_SUCCESS)
        return result;
    made->pool = pool;
    pool->live++;
    pool->used += made->extent;
    pool->used_high = pool->used > pool->used_high ? pool->used : pool->used_high;
    if (pool_reserved(pool) > pool->reserved_high)
        pool->reserved_high = pool_reserved(pool);
    *ret = made;
    return CUDA_SUCCESS;
}

void pool_free(struct allocation *allocation)
{
    CUmemoryPool pool = allocation->pool;

    pool->live--;
    pool->used -= allocation->extent;
    if (allocation->segment)
        memory_give(allocation);
    else {
        allocation->bytes = 0; /* nobody's: memory_find does not find it */
        LIST_REMOVE(allocation, link);
        LIST_INSERT_HEAD(&pool->cached, allocation, link);
    }
    if (pool->destroyed && !pool->live)
        pool_end(pool);
}

void pool_free_now(struct allocation *allocation)
{
    struct device *device = allocation->device;

    pool_free(allocation);
    pools_trim_at_sync(device);
}
