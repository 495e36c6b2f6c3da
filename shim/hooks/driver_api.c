/* SPDX-License-Identifier: MIT */
/*
 * Serves the driver's calls from the pool: cuMemAlloc, cuMemFree, cuMemFreeAsync. Programs with the
 * runtime linked statically come in here, and so does what the real runtime allocates underneath.
 *
 * A call from underneath another hook is forwarded, but here is also where every request for device
 * memory reaches the driver: the limit is enforced, and what the pools hold free is returned when
 * the driver runs out.
 */
#include "pool/pool.h"
#include "shim/hooks/call.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/hooks/pooled.h"

static CUresult allocate(const struct driver_functions *real, CUdeviceptr *dptr, size_t bytes)
{
    if (!limit_admits_here(real, TRACE_MEMORY_DEVICE, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    return real->cuMemAlloc_v2(dptr, bytes);
}

CUresult cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytesize)
{
    struct call call;
    uint64_t address;
    const struct driver_functions *real = real_driver();
    if (!real || !real->cuMemAlloc_v2)
        return MISSING_DRIVER;
    bool outer = call_begin(&call, HOOK_cuMemAlloc_v2, __builtin_return_address(0));
    if (outer && dptr && bytesize && call_may_pool(&call) &&
        pooled_allocate(&call, bytesize, &address) == 0) {
        *dptr = address;
        call_end(&call);
        return CUDA_SUCCESS;
    }
    CUresult result = allocate(real, dptr, bytesize);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && pooled_relieve(real))
        result = allocate(real, dptr, bytesize);
    if (!outer)
        return result;
    if (bytesize)
        pooled_native_allocated(&call, result == 0 && dptr ? *dptr : 0, bytesize, (int)result);
    call_end(&call);
    return result;
}

/* One of the free functions, bound to everything but the pointer. */
struct release {
    const struct driver_functions *real;
    enum hook_id hook;
    CUstream stream;
};

static CUresult release_call(const struct release *release, CUdeviceptr pointer)
{
    const struct driver_functions *real = release->real;
    if (real && release->hook == HOOK_cuMemFree_v2 && real->cuMemFree_v2)
        return real->cuMemFree_v2(pointer);
    if (real && release->hook == HOOK_cuMemFreeAsync && real->cuMemFreeAsync)
        return real->cuMemFreeAsync(pointer, release->stream);
    if (real && release->hook == HOOK_cuMemFreeAsync_ptsz && real->cuMemFreeAsync_ptsz)
        return real->cuMemFreeAsync_ptsz(pointer, release->stream);
    return MISSING_DRIVER;
}

static CUresult release_captured(const struct call *call, const struct release *release,
                                 CUdeviceptr pointer)
{
    CUresult result = release_call(release, pointer);
    pooled_free_captured(call, pointer, release->stream, (int)result);
    return result;
}

static CUresult release_foreign(const struct call *call, const struct release *release,
                                CUdeviceptr pointer)
{
    struct ledger_entry entry = pooled_foreign_take(call, TRACE_MEMORY_DEVICE, pointer);
    CUresult result = release_call(release, pointer);
    pooled_foreign_freed(call, TRACE_MEMORY_DEVICE, pointer, release->stream, &entry, (int)result);
    return result;
}

static CUresult release_any(const struct call *call, const struct release *release,
                            CUdeviceptr pointer)
{
    CUresult result;
    uint64_t refused;
    const struct pooled_request request = {
        .address = pointer,
        .stream = release->stream,
        .stream_ordered = release->hook != HOOK_cuMemFree_v2,
    };
    if (!pointer)
        return release_call(release, pointer);
    switch (pooled_free(call, &request, &refused)) {
    case POOLED_FREE_DONE: return CUDA_SUCCESS;
    case POOLED_FREE_INVALID: return release_call(release, refused);
    case POOLED_FREE_REFUSED:
        result = release_call(release, refused);
        pooled_refused(call, &request, (int)result);
        return result;
    default:
        return pooled_free_is_captured(&request) ? release_captured(call, release, pointer)
                                                 : release_foreign(call, release, pointer);
    }
}

static CUresult release_hook(enum hook_id hook, const void *code, CUdeviceptr pointer,
                             CUstream stream)
{
    struct call call;
    struct release release = {.real = real_driver(), .hook = hook, .stream = stream};
    pool_prefetch(pointer);
    if (!call_begin(&call, hook, code))
        return release_call(&release, pointer);
    CUresult result = release_any(&call, &release, pointer);
    call_end(&call);
    return result;
}

CUresult cuMemFree_v2(CUdeviceptr dptr)
{
    return release_hook(HOOK_cuMemFree_v2, __builtin_return_address(0), dptr, NULL);
}

CUresult cuMemFreeAsync(CUdeviceptr dptr, CUstream stream)
{
    return release_hook(HOOK_cuMemFreeAsync, __builtin_return_address(0), dptr, stream);
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr dptr, CUstream stream)
{
    return release_hook(HOOK_cuMemFreeAsync_ptsz, __builtin_return_address(0), dptr,
                        stream ? stream : CU_STREAM_PER_THREAD);
}
