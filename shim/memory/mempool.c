/* SPDX-License-Identifier: MIT */
/*
 * The driver's stream-ordered pools. See mempool.h. Trimming is forwarded, and recorded with the
 * bytes that went back, which the driver tells by what the pool holds before and after.
 */
#include "shim/memory/mempool.h"

#include "shim/hooks/call.h"
#include "shim/memory/place.h"

#define DEVICES_MAX 64

static bool threshold_is_set(void)
{
    return shim_options()->mempool_release_threshold.bytes && shim_mode() == SHIM_POOL;
}

/* A threshold that the program gave the pool stays. */
static void threshold_apply(const struct driver_functions *driver, CUmemoryPool pool)
{
    cuuint64_t threshold = 0;
    if (!driver->cuMemPoolGetAttribute || !driver->cuMemPoolSetAttribute ||
        REAL_ASK(driver->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                                               &threshold)) != CUDA_SUCCESS ||
        threshold)
        return;
    threshold = shim_options()->mempool_release_threshold.bytes;
    driver->cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
}

void mempool_prepare(const struct driver_functions *driver)
{
    static atomic_bool prepared[DEVICES_MAX];
    CUdevice device;
    CUmemoryPool pool;
    if (__builtin_expect(!threshold_is_set(), 1) ||
        REAL_ASK(driver->cuCtxGetDevice(&device)) != CUDA_SUCCESS || device < 0 ||
        device >= DEVICES_MAX || atomic_exchange(&prepared[device], true))
        return;
    if (driver->cuDeviceGetDefaultMemPool &&
        REAL_ASK(driver->cuDeviceGetDefaultMemPool(&pool, device)) == CUDA_SUCCESS)
        threshold_apply(driver, pool);
}

void mempool_created(const struct driver_functions *driver, CUmemoryPool pool, int place)
{
    place_pool_made(pool, place);
    if (threshold_is_set())
        threshold_apply(driver, pool);
}

static uint64_t reserved_bytes(CUmemoryPool pool)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    cuuint64_t bytes = 0;
    if (!driver || !driver->cuMemPoolGetAttribute ||
        REAL_ASK(driver->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT,
                                               &bytes)) != CUDA_SUCCESS)
        return 0;
    return bytes;
}

static void record_trim(const struct call *call, CUmemoryPool pool, uint64_t before, int result)
{
    uint64_t after = result == 0 && call->writer ? reserved_bytes(pool) : before;
    if (result == 0)
        record_mempool_trim(call, pool, before > after ? before - after : 0);
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t memPool, size_t minBytesToKeep)
{
    struct call call;
    const struct runtime_functions *real = CALL_REAL_RUNTIME();
    if (!real || !real->cudaMemPoolTrimTo)
        return MISSING_RUNTIME;
    if (!call_begin(&call, HOOK_cudaMemPoolTrimTo, __builtin_return_address(0)))
        return real->cudaMemPoolTrimTo(memPool, minBytesToKeep);
    uint64_t before = call.writer ? reserved_bytes(memPool) : 0;
    cudaError_t result = real->cudaMemPoolTrimTo(memPool, minBytesToKeep);
    record_trim(&call, memPool, before, (int)result);
    call_end(&call);
    return result;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t minBytesToKeep)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();
    if (!real || !real->cuMemPoolTrimTo)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemPoolTrimTo, __builtin_return_address(0)))
        return real->cuMemPoolTrimTo(pool, minBytesToKeep);
    uint64_t before = call.writer ? reserved_bytes(pool) : 0;
    CUresult result = real->cuMemPoolTrimTo(pool, minBytesToKeep);
    record_trim(&call, pool, before, (int)result);
    call_end(&call);
    return result;
}
