/* SPDX-License-Identifier: MIT */
/*
 * Entry points of stream-ordered memory. Compiled twice (api.h).
 */
#include "tests/simgpu/driver/base/api.h"

#include "tests/simgpu/driver/api/memory/mempool.h"

CUresult CUDAAPI cuMemAllocAsync(CUdeviceptr *dptr, size_t bytesize, CUstream hStream)
{
    CALL(cuMemAllocAsync, pool_allocate(dptr, bytesize, NULL, false, hStream, PER_THREAD),
         "bytes=%zu\tptr=0x%llx\tstream=0x%llx", bytesize, OUT(dptr), HEX(hStream));
}

CUresult CUDAAPI cuMemAllocFromPoolAsync(CUdeviceptr *dptr, size_t bytesize, CUmemoryPool pool,
                                         CUstream hStream)
{
    CALL(cuMemAllocFromPoolAsync, pool_allocate(dptr, bytesize, pool, true, hStream, PER_THREAD),
         "bytes=%zu\tptr=0x%llx\tstream=0x%llx", bytesize, OUT(dptr), HEX(hStream));
}

CUresult CUDAAPI cuMemFreeAsync(CUdeviceptr dptr, CUstream hStream)
{
    CALL(cuMemFreeAsync, pool_free_async(dptr, hStream, PER_THREAD), "ptr=0x%llx\tstream=0x%llx",
         dptr, HEX(hStream));
}
