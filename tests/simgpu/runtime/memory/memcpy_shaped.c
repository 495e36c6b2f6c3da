/* SPDX-License-Identifier: MIT */
/*
 * Copies with a shape, between linear memory and arrays: copy.c describes them, the driver does
 * them. An empty area is a success without a copy. Compiled twice: see runtime.h.
 */
#include "tests/simgpu/runtime/memory/copy.h"

#include <stdbool.h>
#include <stddef.h>

static cudaError_t copy_2d(struct copy_side dst, struct copy_side src, size_t width_bytes,
                           size_t height, enum cudaMemcpyKind kind)
{
    CUDA_MEMCPY2D description;
    cudaError_t status = context_ready()
                             ?: copy_describe_2d(dst, src, width_bytes, height, kind, &description);

    if (status != cudaSuccess || width_bytes == 0 || height == 0)
        return error_keep(status);
    return error_keep_result(STREAM_DRIVER(cuMemcpy2DUnaligned)(&description));
}

static cudaError_t copy_2d_async(struct copy_side dst, struct copy_side src, size_t width_bytes,
                                 size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    CUDA_MEMCPY2D description;
    cudaError_t status = context_ready()
                             ?: copy_describe_2d(dst, src, width_bytes, height, kind, &description);

    if (status != cudaSuccess || width_bytes == 0 || height == 0)
        return error_keep(status);
    return error_keep_result(STREAM_DRIVER(cuMemcpy2DAsync)(&description, stream));
}

static struct copy_side linear(const void *pointer, size_t pitch_bytes)
{
    return (struct copy_side){.pointer = pointer, .pitch_bytes = pitch_bytes};
}

static struct copy_side within(cudaArray_const_t array, size_t x_bytes, size_t y)
{
    return (struct copy_side){.array = array, .x_bytes = x_bytes, .y = y};
}

cudaError_t cudaMemcpy2D(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind)
{
    return copy_2d(linear(dst, dpitch), linear(src, spitch), width, height, kind);
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    return copy_2d_async(linear(dst, dpitch), linear(src, spitch), width, height, kind, stream);
}

cudaError_t cudaMemcpy2DToArray(cudaArray_t dst, size_t wOffset, size_t hOffset, const void *src,
                                size_t spitch, size_t width, size_t height,
                                enum cudaMemcpyKind kind)
{
    return copy_2d(within(dst, wOffset, hOffset), linear(src, spitch), width, height, kind);
}

cudaError_t cudaMemcpy2DToArrayAsync(cudaArray_t dst, size_t wOffset, size_t hOffset,
                                     const void *src, size_t spitch, size_t width, size_t height,
                                     enum cudaMemcpyKind kind, cudaStream_t stream)
{
    return copy_2d_async(within(dst, wOffset, hOffset), linear(src, spitch), width, height, kind,
                         stream);
}

cudaError_t cudaMemcpy2DFromArray(void *dst, size_t dpitch, cudaArray_const_t src, size_t wOffset,
                                  size_t hOffset, size_t width, size_t height,
                                  enum cudaMemcpyKind kind)
{
    return copy_2d(linear(dst, dpitch), within(src, wOffset, hOffset), width, height, kind);
}

cudaError_t cudaMemcpy2DFromArrayAsync(void *dst, size_t dpitch, cudaArray_const_t src,
                                       size_t wOffset, size_t hOffset, size_t width, size_t height,
                                       enum cudaMemcpyKind kind, cudaStream_t stream)
{
    return copy_2d_async(linear(dst, dpitch), within(src, wOffset, hOffset), width, height, kind,
                         stream);
}

cudaError_t cudaMemcpy2DArrayToArray(cudaArray_t dst, size_t wOffsetDst, size_t hOffsetDst,
                                     cudaArray_const_t src, size_t wOffsetSrc, size_t hOffsetSrc,
                                     size_t width, size_t height, enum cudaMemcpyKind kind)
{
    return copy_2d(within(dst, wOffsetDst, hOffsetDst), within(src, wOffsetSrc, hOffsetSrc), width,
                   height, kind);
}

static bool extent_is_empty(struct cudaExtent extent)
{
    return extent.width == 0 || extent.height == 0 || extent.depth == 0;
}

cudaError_t cudaMemcpy3D(const struct cudaMemcpy3DParms *p)
{
    CUDA_MEMCPY3D description;
    cudaError_t status = context_ready() ?: copy_describe_3d(p, &description);

    if (status != cudaSuccess || extent_is_empty(p->extent))
        return error_keep(status);
    return error_keep_result(STREAM_DRIVER(cuMemcpy3D)(&description));
}

cudaError_t cudaMemcpy3DAsync(const struct cudaMemcpy3DParms *p, cudaStream_t stream)
{
    CUDA_MEMCPY3D description;
    cudaError_t status = context_ready() ?: copy_describe_3d(p, &description);

    if (status != cudaSuccess || extent_is_empty(p->extent))
        return error_keep(status);
    return error_keep_result(STREAM_DRIVER(cuMemcpy3DAsync)(&description, stream));
}

cudaError_t cudaMemcpy3DPeer(const struct cudaMemcpy3DPeerParms *p)
{
    CUDA_MEMCPY3D_PEER description;
    cudaError_t status = context_ready() ?: copy_describe_3d_peer(p, &description);

    if (status != cudaSuccess || extent_is_empty(p->extent))
        return error_keep(status);
    return error_keep_result(STREAM_DRIVER(cuMemcpy3DPeer)(&description));
}

cudaError_t cudaMemcpy3DPeerAsync(const struct cudaMemcpy3DPeerParms *p, cudaStream_t stream)
{
    CUDA_MEMCPY3D_PEER description;
    cudaError_t status = context_ready() ?: copy_describe_3d_peer(p, &description);

    if (status != cudaSuccess || extent_is_empty(p->extent))
        return error_keep(status);
    return error_keep_result(STREAM_DRIVER(cuMemcpy3DPeerAsync)(&description, stream));
}
