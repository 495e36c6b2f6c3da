/* SPDX-License-Identifier: MIT */
/*
 * Straight copies. Each kind is one driver function; cudaMemcpyDefault and host to host are the
 * driver's unified copy. Compiled twice: see runtime.h.
 */
#include "tests/simgpu/runtime/module/image.h"

#include <stddef.h>

static CUresult copy(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind)
{
    switch (kind) {
    case cudaMemcpyHostToDevice:
        return STREAM_DRIVER(cuMemcpyHtoD)(DEVICE_ADDRESS(dst), src, count);
    case cudaMemcpyDeviceToHost:
        return STREAM_DRIVER(cuMemcpyDtoH)(dst, DEVICE_ADDRESS(src), count);
    case cudaMemcpyDeviceToDevice:
        return STREAM_DRIVER(cuMemcpyDtoD)(DEVICE_ADDRESS(dst), DEVICE_ADDRESS(src), count);
    default: return STREAM_DRIVER(cuMemcpy)(DEVICE_ADDRESS(dst), DEVICE_ADDRESS(src), count);
    }
}

static CUresult copy_async(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                           cudaStream_t stream)
{
    switch (kind) {
    case cudaMemcpyHostToDevice:
        return STREAM_DRIVER(cuMemcpyHtoDAsync)(DEVICE_ADDRESS(dst), src, count, stream);
    case cudaMemcpyDeviceToHost:
        return STREAM_DRIVER(cuMemcpyDtoHAsync)(dst, DEVICE_ADDRESS(src), count, stream);
    case cudaMemcpyDeviceToDevice:
        return STREAM_DRIVER(cuMemcpyDtoDAsync)(DEVICE_ADDRESS(dst), DEVICE_ADDRESS(src), count,
                                                stream);
    default:
        return STREAM_DRIVER(cuMemcpyAsync)(DEVICE_ADDRESS(dst), DEVICE_ADDRESS(src), count,
                                            stream);
    }
}

static cudaError_t kind_check(enum cudaMemcpyKind kind)
{
    return (unsigned)kind <= cudaMemcpyDefault ? cudaSuccess : cudaErrorInvalidMemcpyDirection;
}

/* A symbol is on the device: only kinds that say so, or say nothing. */
static cudaError_t symbol_kind_check(enum cudaMemcpyKind kind, enum cudaMemcpyKind straight)
{
    return kind == straight || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault
               ? cudaSuccess
               : cudaErrorInvalidMemcpyDirection;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind)
{
    cudaError_t status = kind_check(kind) ?: context_ready();

    if (status != cudaSuccess || count == 0)
        return error_keep(status);
    return error_keep_result(copy(dst, src, count, kind));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    cudaError_t status = kind_check(kind) ?: context_ready();

    if (status != cudaSuccess || count == 0)
        return error_keep(status);
    return error_keep_result(copy_async(dst, src, count, kind, stream));
}

cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *src, size_t count, size_t offset,
                               enum cudaMemcpyKind kind)
{
    CUdeviceptr dst = 0;
    cudaError_t status = symbol_kind_check(kind, cudaMemcpyHostToDevice)
        ?: context_ready() ?: image_variable_range(symbol, offset, count, &dst);

    return error_keep(status ?: error_from(copy((void *)(uintptr_t)dst, src, count, kind)));
}

cudaError_t cudaMemcpyFromSymbol(void *dst, const void *symbol, size_t count, size_t offset,
                                 enum cudaMemcpyKind kind)
{
    CUdeviceptr src = 0;
    cudaError_t status = symbol_kind_check(kind, cudaMemcpyDeviceToHost)
        ?: context_ready() ?: image_variable_range(symbol, offset, count, &src);

    return error_keep(status ?: error_from(copy(dst, (void *)(uintptr_t)src, count, kind)));
}

cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *src, size_t count,
                                    size_t offset, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    CUdeviceptr dst = 0;
    cudaError_t status = symbol_kind_check(kind, cudaMemcpyHostToDevice)
        ?: context_ready() ?: image_variable_range(symbol, offset, count, &dst);

    return error_keep(
        status ?: error_from(copy_async((void *)(uintptr_t)dst, src, count, kind, stream)));
}

cudaError_t cudaMemcpyFromSymbolAsync(void *dst, const void *symbol, size_t count, size_t offset,
                                      enum cudaMemcpyKind kind, cudaStream_t stream)
{
    CUdeviceptr src = 0;
    cudaError_t status = symbol_kind_check(kind, cudaMemcpyDeviceToHost)
        ?: context_ready() ?: image_variable_range(symbol, offset, count, &src);

    return error_keep(
        status ?: error_from(copy_async(dst, (void *)(uintptr_t)src, count, kind, stream)));
}
