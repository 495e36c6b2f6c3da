/* SPDX-License-Identifier: MIT */
/*
 * Bytes of arrays. See array_size.h.
 */
#include "shim/memory/array_size.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/* Of both families: no memory comes with the array. */
static bool is_unbacked(unsigned int flags)
{
    static_assert(cudaArraySparse == CUDA_ARRAY3D_SPARSE &&
                      cudaArrayDeferredMapping == CUDA_ARRAY3D_DEFERRED_MAPPING,
                  "the families' flags differ");
    return flags & (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING);
}

static size_t at_least_one(size_t value)
{
    return value ? value : 1;
}

/* SIZE_MAX: more than can be counted. The driver refuses such an array. */
static size_t product(size_t a, size_t b)
{
    size_t result;

    return __builtin_mul_overflow(a, b, &result) ? SIZE_MAX : result;
}

static size_t sum(size_t a, size_t b)
{
    size_t result;

    return __builtin_add_overflow(a, b, &result) ? SIZE_MAX : result;
}

static size_t levels_bytes(struct cudaExtent extent, size_t element_bits, unsigned int levels)
{
    size_t elements = 0;

    for (unsigned int level = 0; level < at_least_one(levels) && level < 32; level++)
        elements = sum(elements, product(product(at_least_one(extent.width >> level),
                                                 at_least_one(extent.height >> level)),
                                         at_least_one(extent.depth >> level)));
    return element_bits % 8 ? product(elements, element_bits) / 8
                            : product(elements, element_bits / 8);
}

size_t array_runtime_bytes(unsigned int flags, const struct cudaChannelFormatDesc *format,
                           struct cudaExtent extent, unsigned int levels)
{
    if (!format || is_unbacked(flags))
        return 0;
    return levels_bytes(
        extent, (size_t)format->x + (size_t)format->y + (size_t)format->z + (size_t)format->w,
        levels);
}

/* Bits of one channel. Block-compressed and planar formats count as 8 bits a channel. */
static size_t format_bits(CUarray_format format)
{
    switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF: return 16;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT: return 32;
    default: return 8;
    }
}

size_t array_driver_bytes(const CUDA_ARRAY_DESCRIPTOR *array)
{
    if (!array)
        return 0;
    return levels_bytes(make_extent(array->Width, array->Height, 0),
                        format_bits(array->Format) * array->NumChannels, 1);
}

size_t array3d_driver_bytes(const CUDA_ARRAY3D_DESCRIPTOR *array, unsigned int levels)
{
    if (!array || is_unbacked(array->Flags))
        return 0;
    return levels_bytes(make_extent(array->Width, array->Height, array->Depth),
                        format_bits(array->Format) * array->NumChannels, levels);
}
