/* SPDX-License-Identifier: MIT */
/*
 * Computes the bytes of an array from its description. The driver's padding is not known, so these
 * are the bytes of the elements.
 *
 * A dimension of 0 means that the array has fewer dimensions. All functions accept NULL. Sparse
 * arrays and deferred-mapping arrays have no memory of their own: physical memory is mapped there.
 */
#ifndef SHIM_MEMORY_ARRAY_SIZE_H
#define SHIM_MEMORY_ARRAY_SIZE_H

#include <stddef.h>

#include "shim/resolve/cuda_abi.h"

/** The extent of a two-dimensional array. */
static inline struct cudaExtent make_extent(size_t width, size_t height, size_t depth)
{
    return (struct cudaExtent){.width = width, .height = height, .depth = depth};
}

/** For an array, or a mipmapped one with several levels, in the runtime's terms. */
size_t array_runtime_bytes(unsigned int flags, const struct cudaChannelFormatDesc *format,
                           struct cudaExtent extent, unsigned int levels);

/** The same in the driver's terms. */
size_t array_driver_bytes(const CUDA_ARRAY_DESCRIPTOR *array);
size_t array3d_driver_bytes(const CUDA_ARRAY3D_DESCRIPTOR *array, unsigned int levels);

#endif
