/* SPDX-License-Identifier: MIT */
/*
 * cuMemAdvise and the body of cuMemPrefetchAsync.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/api/memory/prefetch.h"
#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/work/work.h"

static CUresult check_managed(CUdeviceptr address, size_t bytes)
{
    struct allocation *found = memory_find(address);

    if (!bytes || !found || found->kind != MEMORY_MANAGED || !memory_covers(address, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

CUresult managed_prefetch(CUdeviceptr address, size_t bytes, CUstream given, bool per_thread)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS)
        result = check_managed(address, bytes);
    if (result != CUDA_SUCCESS)
        return result;
    struct work *work = work_create(WORK_EMPTY);
    return work ? stream_submit(stream, work, false) : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult advise(CUdeviceptr address, size_t bytes)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    return result == CUDA_SUCCESS ? check_managed(address, bytes) : result;
}

CUresult CUDAAPI cuMemAdvise(CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUdevice device)
{
    CALL(cuMemAdvise, advise(devPtr, count));
}

CUresult CUDAAPI cuMemAdvise_v2(CUdeviceptr devPtr, size_t count, CUmem_advise advice,
                                CUmemLocation location)
{
    CALL(cuMemAdvise_v2, advise(devPtr, count));
}
