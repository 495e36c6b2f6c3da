/* SPDX-License-Identifier: MIT */
/*
 * Serves the driver's calls from the pool: cuMemAlloc, cuMemFree, cuMemFreeAsync. Programs with a
 * statically linked runtime enter here, and so do the real runtime's own allocations.
 *
 * A call from underneath another hook is forwarded. But every request for device memory passes
 * here, so here the limit is enforced, and here the pools return their free memory when the driver
 * runs out.
 */
#include "shim/hooks/call.h"
#include "shim/memory/limit.h"
#include "shim/hooks/pooled.h"
#include "shim/hooks/release.h"

static CUresult allocate(const struct driver_functions *real, CUdeviceptr *dptr, size_t bytes)
{
    CUresult result = limit_hold_here(real, TRACE_MEMORY_DEVICE, bytes)
                          ? call_observe(real->cuMemAlloc_v2(dptr, bytes))
                          : CUDA_ERROR_OUT_OF_MEMORY;

    if (result != CUDA_SUCCESS)
        limit_hold_end();
    return result;
}

CUresult cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytesize)
{
    struct call call;
    uint64_t address;
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuMemAlloc_v2)
        return MISSING_DRIVER;
    bool outer = call_begin_pooled(&call, HOOK_cuMemAlloc_v2, __builtin_return_address(0));
    if (outer && dptr && bytesize && call_may_pool(&call) &&
        pooled_allocate(&call, bytesize, &address) == 0) {
        *dptr = address;
        call_end(&call);
        return CUDA_SUCCESS;
    }
    if (outer)
        thread_cancel_hold();
    CUresult result = allocate(real, dptr, bytesize);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && pooled_relieve(bytesize))
        result = allocate(real, dptr, bytesize);
    if (!outer)
        return result;
    if (bytesize)
        pooled_native_allocated(&call, result == 0 && dptr ? *dptr : 0, bytesize, (int)result);
    call_end(&call);
    return result;
}

static int native_free(const struct release *release, uint64_t address)
{
    const struct driver_functions *real = real_driver();

    if (real && release->hook == HOOK_cuMemFree_v2 && real->cuMemFree_v2)
        return (int)call_observe(real->cuMemFree_v2(address));
    if (real && release->hook == HOOK_cuMemFreeAsync && real->cuMemFreeAsync)
        return (int)call_observe(real->cuMemFreeAsync(address, release->stream));
    if (real && release->hook == HOOK_cuMemFreeAsync_ptsz && real->cuMemFreeAsync_ptsz)
        return (int)call_observe(real->cuMemFreeAsync_ptsz(address, release->stream));
    return (int)MISSING_DRIVER;
}

/* No driver allocation begins at an odd address. */
static int establish(const struct release *release)
{
    return native_free(release, 1);
}

static CUresult release_hook(enum hook_id hook, const void *code, CUdeviceptr pointer,
                             CUstream stream)
{
    struct release release = {.native = native_free,
                              .establish = establish,
                              .hook = hook,
                              .stream = stream,
                              .stream_ordered = hook != HOOK_cuMemFree_v2};

    return (CUresult)release_address(&release, code, pointer);
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
