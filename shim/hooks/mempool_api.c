/* SPDX-License-Identifier: MIT */
/*
 * Trimming of the driver's stream-ordered pools: forwarded, and recorded with the bytes that went
 * back, the difference of what the pool holds before and after.
 */
#include "shim/hooks/call.h"
#include "shim/memory/mempool.h"

static void record_trim(const struct call *call, CUmemoryPool pool, uint64_t before, int result)
{
    uint64_t after = result == 0 && call->writer ? mempool_reserved_bytes(pool) : before;

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
    uint64_t before = call.writer ? mempool_reserved_bytes(memPool) : 0;
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
        return call_observe(real->cuMemPoolTrimTo(pool, minBytesToKeep));
    uint64_t before = call.writer ? mempool_reserved_bytes(pool) : 0;
    CUresult result = call_observe(real->cuMemPoolTrimTo(pool, minBytesToKeep));
    record_trim(&call, pool, before, (int)result);
    call_end(&call);
    return result;
}
