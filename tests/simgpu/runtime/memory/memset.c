/* SPDX-License-Identifier: MIT */
/*
 * cudaMemset3D: the driver fills at most two dimensions, so a box is one fill per slice, or a
 * single one when the slices touch. Compiled twice: see runtime.h.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <stdbool.h>
#include <stddef.h>

static CUresult fill(CUdeviceptr slice, size_t pitch, int value, size_t width, size_t height,
                     bool async, cudaStream_t stream)
{
    if (async)
        return STREAM_DRIVER(cuMemsetD2D8Async)(slice, pitch, (unsigned char)value, width, height,
                                                stream);
    return STREAM_DRIVER(cuMemsetD2D8)(slice, pitch, (unsigned char)value, width, height);
}

static cudaError_t fill_box(struct cudaPitchedPtr box, int value, struct cudaExtent extent,
                            bool async, cudaStream_t stream)
{
    cudaError_t status = context_ready();
    size_t slices = extent.depth, height = extent.height;

    if (status == cudaSuccess && extent.depth > 1 && box.ysize < extent.height)
        status = cudaErrorInvalidValue;
    if (status != cudaSuccess || extent.width == 0 || extent.height == 0)
        return error_keep(status);
    if (box.ysize == extent.height) {
        height *= extent.depth;
        slices = extent.depth > 0;
    }
    for (size_t i = 0; status == cudaSuccess && i < slices; i++)
        status = error_from(fill(DEVICE_ADDRESS(box.ptr) + i * box.pitch * box.ysize, box.pitch,
                                 value, extent.width, height, async, stream));
    return error_keep(status);
}

cudaError_t cudaMemset3D(struct cudaPitchedPtr pitchedDevPtr, int value, struct cudaExtent extent)
{
    return fill_box(pitchedDevPtr, value, extent, false, NULL);
}

cudaError_t cudaMemset3DAsync(struct cudaPitchedPtr pitchedDevPtr, int value,
                              struct cudaExtent extent, cudaStream_t stream)
{
    return fill_box(pitchedDevPtr, value, extent, true, stream);
}
