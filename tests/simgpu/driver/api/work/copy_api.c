/* SPDX-License-Identifier: MIT */
/*
 * Entry points of copies and fills. Compiled twice (api.h).
 */
#include "tests/simgpu/driver/base/api.h"

#include "tests/simgpu/driver/work/copy.h"

#define SYNC      ((struct destination){NULL, PER_THREAD, false})
#define ASYNC(on) ((struct destination){on, PER_THREAD, true})

#define COPY_LOG        "dst=0x%llx\tsrc=0x%llx\tbytes=%zu"
#define COPY_LOG_STREAM COPY_LOG "\tstream=0x%llx"
#define FILL_LOG        "ptr=0x%llx\tbytes=%zu"

CUresult CUDAAPI cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount)
{
    CALL(cuMemcpy, copy_linear(dst, src, ByteCount, 0, SYNC), COPY_LOG, dst, src, ByteCount);
}

CUresult CUDAAPI cuMemcpyPeer(CUdeviceptr dst, CUcontext dstContext, CUdeviceptr src,
                              CUcontext srcContext, size_t ByteCount)
{
    CALL(cuMemcpyPeer, copy_linear(dst, src, ByteCount, COPY_TO_DEVICE | COPY_FROM_DEVICE, SYNC),
         COPY_LOG, dst, src, ByteCount);
}

CUresult CUDAAPI cuMemcpyHtoD(CUdeviceptr dst, const void *src, size_t ByteCount)
{
    CALL(cuMemcpyHtoD, copy_linear(dst, (uintptr_t)src, ByteCount, COPY_TO_DEVICE, SYNC), COPY_LOG,
         dst, HEX(src), ByteCount);
}

CUresult CUDAAPI cuMemcpyDtoH(void *dst, CUdeviceptr src, size_t ByteCount)
{
    CALL(cuMemcpyDtoH, copy_linear((uintptr_t)dst, src, ByteCount, COPY_FROM_DEVICE, SYNC),
         COPY_LOG, HEX(dst), src, ByteCount);
}

CUresult CUDAAPI cuMemcpyDtoD(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount)
{
    CALL(cuMemcpyDtoD, copy_linear(dst, src, ByteCount, COPY_TO_DEVICE | COPY_FROM_DEVICE, SYNC),
         COPY_LOG, dst, src, ByteCount);
}

CUresult CUDAAPI cuMemcpyDtoA(CUarray dst, size_t dstOffset, CUdeviceptr src, size_t ByteCount)
{
    CALL(cuMemcpyDtoA, copy_array(dst, dstOffset, src, true, ByteCount, SYNC), "bytes=%zu",
         ByteCount);
}

CUresult CUDAAPI cuMemcpyAtoD(CUdeviceptr dst, CUarray src, size_t srcOffset, size_t ByteCount)
{
    CALL(cuMemcpyAtoD, copy_array(src, srcOffset, dst, false, ByteCount, SYNC), "bytes=%zu",
         ByteCount);
}

CUresult CUDAAPI cuMemcpyHtoA(CUarray dst, size_t dstOffset, const void *src, size_t ByteCount)
{
    CALL(cuMemcpyHtoA, copy_array(dst, dstOffset, (uintptr_t)src, true, ByteCount, SYNC),
         "bytes=%zu", ByteCount);
}

CUresult CUDAAPI cuMemcpyAtoH(void *dst, CUarray src, size_t srcOffset, size_t ByteCount)
{
    CALL(cuMemcpyAtoH, copy_array(src, srcOffset, (uintptr_t)dst, false, ByteCount, SYNC),
         "bytes=%zu", ByteCount);
}

CUresult CUDAAPI cuMemcpyAtoA(CUarray dst, size_t dstOffset, CUarray src, size_t srcOffset,
                              size_t ByteCount)
{
    CALL(cuMemcpyAtoA, copy_between_arrays(dst, dstOffset, src, srcOffset, ByteCount, SYNC),
         "bytes=%zu", ByteCount);
}

CUresult CUDAAPI cuMemcpyHtoAAsync(CUarray dst, size_t dstOffset, const void *src, size_t ByteCount,
                                   CUstream hStream)
{
    CALL(cuMemcpyHtoAAsync,
         copy_array(dst, dstOffset, (uintptr_t)src, true, ByteCount, ASYNC(hStream)), "bytes=%zu",
         ByteCount);
}

CUresult CUDAAPI cuMemcpyAtoHAsync(void *dst, CUarray src, size_t srcOffset, size_t ByteCount,
                                   CUstream hStream)
{
    CALL(cuMemcpyAtoHAsync,
         copy_array(src, srcOffset, (uintptr_t)dst, false, ByteCount, ASYNC(hStream)), "bytes=%zu",
         ByteCount);
}

CUresult CUDAAPI cuMemcpy2D(const CUDA_MEMCPY2D *pCopy)
{
    CALL(cuMemcpy2D, copy_flat_box(pCopy, SYNC));
}

CUresult CUDAAPI cuMemcpy2DUnaligned(const CUDA_MEMCPY2D *pCopy)
{
    CALL(cuMemcpy2DUnaligned, copy_flat_box(pCopy, SYNC));
}

CUresult CUDAAPI cuMemcpy3D(const CUDA_MEMCPY3D *pCopy)
{
    CALL(cuMemcpy3D, copy_box(pCopy, SYNC));
}

CUresult CUDAAPI cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER *pCopy)
{
    CALL(cuMemcpy3DPeer, copy_peer_box(pCopy, SYNC));
}

CUresult CUDAAPI cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream)
{
    CALL(cuMemcpyAsync, copy_linear(dst, src, ByteCount, 0, ASYNC(hStream)), COPY_LOG_STREAM, dst,
         src, ByteCount, HEX(hStream));
}

CUresult CUDAAPI cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext dstContext, CUdeviceptr src,
                                   CUcontext srcContext, size_t ByteCount, CUstream hStream)
{
    CALL(cuMemcpyPeerAsync,
         copy_linear(dst, src, ByteCount, COPY_TO_DEVICE | COPY_FROM_DEVICE, ASYNC(hStream)),
         COPY_LOG_STREAM, dst, src, ByteCount, HEX(hStream));
}

CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr dst, const void *src, size_t ByteCount,
                                   CUstream hStream)
{
    CALL(cuMemcpyHtoDAsync,
         copy_linear(dst, (uintptr_t)src, ByteCount, COPY_TO_DEVICE, ASYNC(hStream)),
         COPY_LOG_STREAM, dst, HEX(src), ByteCount, HEX(hStream));
}

CUresult CUDAAPI cuMemcpyDtoHAsync(void *dst, CUdeviceptr src, size_t ByteCount, CUstream hStream)
{
    CALL(cuMemcpyDtoHAsync,
         copy_linear((uintptr_t)dst, src, ByteCount, COPY_FROM_DEVICE, ASYNC(hStream)),
         COPY_LOG_STREAM, HEX(dst), src, ByteCount, HEX(hStream));
}

CUresult CUDAAPI cuMemcpyDtoDAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount,
                                   CUstream hStream)
{
    CALL(cuMemcpyDtoDAsync,
         copy_linear(dst, src, ByteCount, COPY_TO_DEVICE | COPY_FROM_DEVICE, ASYNC(hStream)),
         COPY_LOG_STREAM, dst, src, ByteCount, HEX(hStream));
}

CUresult CUDAAPI cuMemcpy2DAsync(const CUDA_MEMCPY2D *pCopy, CUstream hStream)
{
    CALL(cuMemcpy2DAsync, copy_flat_box(pCopy, ASYNC(hStream)), "stream=0x%llx", HEX(hStream));
}

CUresult CUDAAPI cuMemcpy3DAsync(const CUDA_MEMCPY3D *pCopy, CUstream hStream)
{
    CALL(cuMemcpy3DAsync, copy_box(pCopy, ASYNC(hStream)), "stream=0x%llx", HEX(hStream));
}

CUresult CUDAAPI cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER *pCopy, CUstream hStream)
{
    CALL(cuMemcpy3DPeerAsync, copy_peer_box(pCopy, ASYNC(hStream)), "stream=0x%llx", HEX(hStream));
}

CUresult CUDAAPI cuMemcpyBatchAsync(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes,
                                    size_t count, CUmemcpyAttributes *attrs, size_t *attrsIdxs,
                                    size_t numAttrs, CUstream hStream)
{
    CALL(cuMemcpyBatchAsync, copy_batch(dsts, srcs, sizes, count, ASYNC(hStream)), "count=%zu",
         count);
}

#define FILL(name, pitch, value, element, width, height, where, ...)                               \
    CALL(name, fill_box(dst, pitch, value, element, width, height, where), FILL_LOG, dst,          \
         (size_t)(element) * (width) * (height))

CUresult CUDAAPI cuMemsetD8(CUdeviceptr dst, unsigned char uc, size_t N)
{
    FILL(cuMemsetD8, 0, uc, 1, N, 1, SYNC);
}

CUresult CUDAAPI cuMemsetD16(CUdeviceptr dst, unsigned short us, size_t N)
{
    FILL(cuMemsetD16, 0, us, 2, N, 1, SYNC);
}

CUresult CUDAAPI cuMemsetD32(CUdeviceptr dst, unsigned int ui, size_t N)
{
    FILL(cuMemsetD32, 0, ui, 4, N, 1, SYNC);
}

CUresult CUDAAPI cuMemsetD2D8(CUdeviceptr dst, size_t pitch, unsigned char uc, size_t Width,
                              size_t Height)
{
    FILL(cuMemsetD2D8, pitch, uc, 1, Width, Height, SYNC);
}

CUresult CUDAAPI cuMemsetD2D16(CUdeviceptr dst, size_t pitch, unsigned short us, size_t Width,
                               size_t Height)
{
    FILL(cuMemsetD2D16, pitch, us, 2, Width, Height, SYNC);
}

CUresult CUDAAPI cuMemsetD2D32(CUdeviceptr dst, size_t pitch, unsigned int ui, size_t Width,
                               size_t Height)
{
    FILL(cuMemsetD2D32, pitch, ui, 4, Width, Height, SYNC);
}

CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr dst, unsigned char uc, size_t N, CUstream hStream)
{
    FILL(cuMemsetD8Async, 0, uc, 1, N, 1, ASYNC(hStream));
}

CUresult CUDAAPI cuMemsetD16Async(CUdeviceptr dst, unsigned short us, size_t N, CUstream hStream)
{
    FILL(cuMemsetD16Async, 0, us, 2, N, 1, ASYNC(hStream));
}

CUresult CUDAAPI cuMemsetD32Async(CUdeviceptr dst, unsigned int ui, size_t N, CUstream hStream)
{
    FILL(cuMemsetD32Async, 0, ui, 4, N, 1, ASYNC(hStream));
}

CUresult CUDAAPI cuMemsetD2D8Async(CUdeviceptr dst, size_t pitch, unsigned char uc, size_t Width,
                                   size_t Height, CUstream hStream)
{
    FILL(cuMemsetD2D8Async, pitch, uc, 1, Width, Height, ASYNC(hStream));
}

CUresult CUDAAPI cuMemsetD2D16Async(CUdeviceptr dst, size_t pitch, unsigned short us, size_t Width,
                                    size_t Height, CUstream hStream)
{
    FILL(cuMemsetD2D16Async, pitch, us, 2, Width, Height, ASYNC(hStream));
}

CUresult CUDAAPI cuMemsetD2D32Async(CUdeviceptr dst, size_t pitch, unsigned int ui, size_t Width,
                                    size_t Height, CUstream hStream)
{
    FILL(cuMemsetD2D32Async, pitch, ui, 4, Width, Height, ASYNC(hStream));
}
