/* SPDX-License-Identifier: MIT */
/*
 * Entry points of pools that take no stream.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/memory/pool.h"

static CUresult create(CUmemoryPool *ret, const CUmemPoolProps *props)
{
    if (!ret || !props || props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    if (props->handleTypes)
        return CUDA_ERROR_NOT_SUPPORTED;
    struct device *device = NULL;
    switch (props->location.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        device = device_get(props->location.id);
        return device ? pool_create(device, ret) : CUDA_ERROR_INVALID_DEVICE;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT: return pool_create(NULL, ret);
    default: return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult destroy(CUmemoryPool pool)
{
    if (!handle_is(pool, HANDLE_POOL) || (pool->device && pool == pool->device->pool_default))
        return CUDA_ERROR_INVALID_VALUE;
    pool_destroy(pool);
    return CUDA_SUCCESS;
}

static CUresult trim(CUmemoryPool pool, size_t keep_bytes)
{
    if (!handle_is(pool, HANDLE_POOL))
        return CUDA_ERROR_INVALID_VALUE;
    pool_trim(pool, keep_bytes);
    pool_observe(OBSERVER_POOL_TRIMMED, pool, keep_bytes);
    return CUDA_SUCCESS;
}

static CUresult attribute_get(CUmemoryPool pool, CUmemPool_attribute attribute, void *ret)
{
    if (!handle_is(pool, HANDLE_POOL) || !ret)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES: *(int *)ret = pool->reuse[0]; break;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC: *(int *)ret = pool->reuse[1]; break;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES: *(int *)ret = pool->reuse[2]; break;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: *(cuuint64_t *)ret = pool->threshold; break;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT: *(cuuint64_t *)ret = pool_reserved(pool); break;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: *(cuuint64_t *)ret = pool->reserved_high; break;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: *(cuuint64_t *)ret = pool->used; break;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH: *(cuuint64_t *)ret = pool->used_high; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

/* The high-water marks can only be reset. */
static CUresult high_reset(uint64_t *high, uint64_t now, cuuint64_t value)
{
    if (value)
        return CUDA_ERROR_INVALID_VALUE;
    *high = now;
    return CUDA_SUCCESS;
}

static CUresult attribute_set(CUmemoryPool pool, CUmemPool_attribute attribute, const void *value)
{
    if (!handle_is(pool, HANDLE_POOL) || !value)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        pool->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES] = *(
            const int *)value;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        pool->threshold = *(const cuuint64_t *)value;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        return high_reset(&pool->reserved_high, pool_reserved(pool), *(const cuuint64_t *)value);
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        return high_reset(&pool->used_high, pool->used, *(const cuuint64_t *)value);
    default: return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult access_set(CUmemoryPool pool, const CUmemAccessDesc *map, size_t count)
{
    if (!handle_is(pool, HANDLE_POOL) || (count && !map))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
        if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
            return CUDA_ERROR_INVALID_VALUE;
        if (!device_get(map[i].location.id))
            return CUDA_ERROR_INVALID_DEVICE;
        if (pool->device && map[i].location.id == pool->device->ordinal &&
            map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
            return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < count; i++)
        pool->access[map[i].location.id] = map[i].flags;
    return CUDA_SUCCESS;
}

static CUresult access_get(CUmemAccess_flags *ret, CUmemoryPool pool, const CUmemLocation *location)
{
    if (!ret || !location || !handle_is(pool, HANDLE_POOL) ||
        location->type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(location->id))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = pool->access[location->id];
    return CUDA_SUCCESS;
}

typedef CUresult (*pool_getter)(struct device *device, CUmemoryPool *ret);

static CUresult of_device(CUmemoryPool *ret, CUdevice ordinal, pool_getter get)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    return device_get(ordinal) ? get(device_get(ordinal), ret) : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult of_location(CUmemoryPool *ret, const CUmemLocation *location,
                            CUmemAllocationType type, pool_getter get)
{
    if (!ret || !location || type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    return location->type == CU_MEM_LOCATION_TYPE_DEVICE ? of_device(ret, location->id, get)
                                                         : CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult choose(CUdevice ordinal, CUmemoryPool pool)
{
    struct device *device = device_get(ordinal);

    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!handle_is(pool, HANDLE_POOL) || pool->device != device)
        return CUDA_ERROR_INVALID_VALUE;
    device->pool_current = pool;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *poolProps)
{
    CALL(cuMemPoolCreate, create(pool, poolProps));
}

CUresult CUDAAPI cuMemPoolDestroy(CUmemoryPool pool)
{
    CALL(cuMemPoolDestroy, destroy(pool));
}

CUresult CUDAAPI cuMemPoolTrimTo(CUmemoryPool pool, size_t minBytesToKeep)
{
    CALL(cuMemPoolTrimTo, trim(pool, minBytesToKeep), "bytes=%zu", minBytesToKeep);
}

CUresult CUDAAPI cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void *value)
{
    CALL(cuMemPoolGetAttribute, attribute_get(pool, attr, value), "attribute=%d", attr);
}

CUresult CUDAAPI cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void *value)
{
    CALL(cuMemPoolSetAttribute, attribute_set(pool, attr, value), "attribute=%d", attr);
}

CUresult CUDAAPI cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc *map, size_t count)
{
    CALL(cuMemPoolSetAccess, access_set(pool, map, count));
}

CUresult CUDAAPI cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool memPool,
                                    CUmemLocation *location)
{
    CALL(cuMemPoolGetAccess, access_get(flags, memPool, location));
}

CUresult CUDAAPI cuDeviceGetDefaultMemPool(CUmemoryPool *pool_out, CUdevice dev)
{
    CALL(cuDeviceGetDefaultMemPool, of_device(pool_out, dev, pool_default));
}

CUresult CUDAAPI cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice dev)
{
    CALL(cuDeviceGetMemPool, of_device(pool, dev, pool_current));
}

CUresult CUDAAPI cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool)
{
    CALL(cuDeviceSetMemPool, choose(dev, pool));
}

CUresult CUDAAPI cuMemGetDefaultMemPool(CUmemoryPool *pool_out, CUmemLocation *location,
                                        CUmemAllocationType type)
{
    CALL(cuMemGetDefaultMemPool, of_location(pool_out, location, type, pool_default));
}

CUresult CUDAAPI cuMemGetMemPool(CUmemoryPool *pool, CUmemLocation *location,
                                 CUmemAllocationType type)
{
    CALL(cuMemGetMemPool, of_location(pool, location, type, pool_current));
}

CUresult CUDAAPI cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type,
                                 CUmemoryPool pool)
{
    CALL(cuMemSetMemPool, location && location->type == CU_MEM_LOCATION_TYPE_DEVICE
                              ? choose(location->id, pool)
                              : CUDA_ERROR_INVALID_VALUE);
}
