/* SPDX-License-Identifier: MIT */
/*
 * CUDA arrays: channel descriptions to the driver's formats and back. The flags of both APIs are
 * the same numbers.
 */
#include "tests/simgpu/runtime/memory/channel.h"

#include <stddef.h>

/* One row per format a cudaChannelFormatDesc can mean. */
static const struct channel_format {
    enum cudaChannelFormatKind kind;
    int bits;
    CUarray_format format;
} channel_formats[] = {
    {cudaChannelFormatKindUnsigned, 8, CU_AD_FORMAT_UNSIGNED_INT8},
    {cudaChannelFormatKindUnsigned, 16, CU_AD_FORMAT_UNSIGNED_INT16},
    {cudaChannelFormatKindUnsigned, 32, CU_AD_FORMAT_UNSIGNED_INT32},
    {cudaChannelFormatKindSigned, 8, CU_AD_FORMAT_SIGNED_INT8},
    {cudaChannelFormatKindSigned, 16, CU_AD_FORMAT_SIGNED_INT16},
    {cudaChannelFormatKindSigned, 32, CU_AD_FORMAT_SIGNED_INT32},
    {cudaChannelFormatKindFloat, 16, CU_AD_FORMAT_HALF},
    {cudaChannelFormatKindFloat, 32, CU_AD_FORMAT_FLOAT},
};

enum { CHANNEL_FORMATS = sizeof(channel_formats) / sizeof(channel_formats[0]) };

struct cudaChannelFormatDesc cudaCreateChannelDesc(int x, int y, int z, int w,
                                                   enum cudaChannelFormatKind f)
{
    return (struct cudaChannelFormatDesc){.x = x, .y = y, .z = z, .w = w, .f = f};
}

/* Channels are filled from x on, equally wide, and there are one, two or four of them. */
static unsigned channel_count(const struct cudaChannelFormatDesc *desc)
{
    const int bits[] = {desc->x, desc->y, desc->z, desc->w};
    unsigned count = 0;

    while (count < 4 && bits[count] > 0 && bits[count] == desc->x)
        count++;
    for (unsigned i = count; i < 4; i++) {
        if (bits[i] != 0)
            return 0;
    }
    return count == 3 ? 0 : count;
}

cudaError_t channel_to_driver(const struct cudaChannelFormatDesc *desc,
                              CUDA_ARRAY3D_DESCRIPTOR *shape)
{
    if (!desc)
        return cudaErrorInvalidValue;
    shape->NumChannels = channel_count(desc);
    for (int i = 0; i < CHANNEL_FORMATS && shape->NumChannels > 0; i++) {
        if (channel_formats[i].kind == desc->f && channel_formats[i].bits == desc->x) {
            shape->Format = channel_formats[i].format;
            return cudaSuccess;
        }
    }
    return cudaErrorInvalidChannelDescriptor;
}

struct cudaChannelFormatDesc channel_from_driver(const CUDA_ARRAY3D_DESCRIPTOR *shape)
{
    struct cudaChannelFormatDesc desc = {.f = cudaChannelFormatKindNone};
    int *const bits[] = {&desc.x, &desc.y, &desc.z, &desc.w};

    for (int i = 0; i < CHANNEL_FORMATS; i++) {
        if (channel_formats[i].format != shape->Format)
            continue;
        desc.f = channel_formats[i].kind;
        for (unsigned channel = 0; channel < shape->NumChannels && channel < 4; channel++)
            *bits[channel] = channel_formats[i].bits;
    }
    return desc;
}

static cudaError_t array_describe(const struct cudaChannelFormatDesc *desc,
                                  struct cudaExtent extent, unsigned flags,
                                  CUDA_ARRAY3D_DESCRIPTOR *ret_shape)
{
    *ret_shape = (CUDA_ARRAY3D_DESCRIPTOR){
        .Width = extent.width, .Height = extent.height, .Depth = extent.depth, .Flags = flags};
    return context_ready() ?: channel_to_driver(desc, ret_shape);
}

static cudaError_t array_make(const struct cudaChannelFormatDesc *desc, struct cudaExtent extent,
                              unsigned flags, cudaArray_t *ret_array)
{
    CUDA_ARRAY3D_DESCRIPTOR shape;
    CUarray made = NULL;
    cudaError_t status = ret_array ? array_describe(desc, extent, flags, &shape)
                                   : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuArray3DCreate)(&made, &shape));
    if (status == cudaSuccess)
        *ret_array = (cudaArray_t)made;
    return error_keep(status);
}

cudaError_t cudaMallocArray(cudaArray_t *array, const struct cudaChannelFormatDesc *desc,
                            size_t width, size_t height, unsigned int flags)
{
    return array_make(desc, (struct cudaExtent){width, height, 0}, flags, array);
}

cudaError_t cudaMalloc3DArray(cudaArray_t *array, const struct cudaChannelFormatDesc *desc,
                              struct cudaExtent extent, unsigned int flags)
{
    return array_make(desc, extent, flags, array);
}

cudaError_t cudaMallocMipmappedArray(cudaMipmappedArray_t *mipmappedArray,
                                     const struct cudaChannelFormatDesc *desc,
                                     struct cudaExtent extent, unsigned int numLevels,
                                     unsigned int flags)
{
    CUDA_ARRAY3D_DESCRIPTOR shape;
    CUmipmappedArray made = NULL;
    cudaError_t status = mipmappedArray ? array_describe(desc, extent, flags, &shape)
                                        : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuMipmappedArrayCreate)(&made, &shape, numLevels));
    if (status == cudaSuccess)
        *mipmappedArray = (cudaMipmappedArray_t)made;
    return error_keep(status);
}

cudaError_t cudaFreeArray(cudaArray_t array)
{
    cudaError_t status = context_ready();

    if (status == cudaSuccess && array)
        status = error_from(DRIVER(cuArrayDestroy)((CUarray)array));
    return error_keep(status);
}

cudaError_t cudaFreeMipmappedArray(cudaMipmappedArray_t mipmappedArray)
{
    cudaError_t status = context_ready();

    if (status == cudaSuccess && mipmappedArray)
        status = error_from(DRIVER(cuMipmappedArrayDestroy)((CUmipmappedArray)mipmappedArray));
    return error_keep(status);
}

static cudaError_t array_ask(cudaArray_const_t array, CUDA_ARRAY3D_DESCRIPTOR *ret_shape)
{
    return context_ready()
               ?: error_from(DRIVER(cuArray3DGetDescriptor)(ret_shape, (CUarray)(uintptr_t)array));
}

cudaError_t cudaArrayGetInfo(struct cudaChannelFormatDesc *desc, struct cudaExtent *extent,
                             unsigned int *flags, cudaArray_t array)
{
    CUDA_ARRAY3D_DESCRIPTOR shape;
    cudaError_t status = array_ask(array, &shape);

    if (status != cudaSuccess)
        return error_keep(status);
    if (desc)
        *desc = channel_from_driver(&shape);
    if (extent)
        *extent = (struct cudaExtent){shape.Width, shape.Height, shape.Depth};
    if (flags)
        *flags = shape.Flags;
    return cudaSuccess;
}

cudaError_t cudaGetChannelDesc(struct cudaChannelFormatDesc *desc, cudaArray_const_t array)
{
    CUDA_ARRAY3D_DESCRIPTOR shape;
    cudaError_t status = desc ? array_ask(array, &shape) : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        *desc = channel_from_driver(&shape);
    return error_keep(status);
}
