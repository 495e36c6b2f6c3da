/* SPDX-License-Identifier: MIT */
/*
 * Arrays: rows of elements padded to 512 bytes, layers of rows. Mipmapped arrays: one array per
 * level. Block-compressed and planar formats are not simulated.
 */
#include "tests/simgpu/driver/base/call.h"

#include <stdlib.h>

#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/driver/memory/array.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/stream.h"
#include "tests/simgpu/array_format.h"

#define ROW_ALIGN  512
#define LEVELS_MAX 16

struct CUmipmappedArray_st {
    struct handle handle;
    CUarray levels[LEVELS_MAX];
    unsigned level_count;
};

static struct handle_cache array_cache = {HANDLE_ARRAY, sizeof(struct CUarray_st), {NULL}, {NULL}};
static struct handle_cache mipmap_cache = {
    HANDLE_MIPMAP, sizeof(struct CUmipmappedArray_st), {NULL}, {NULL}};

static CUresult measure(const CUDA_ARRAY3D_DESCRIPTOR *descriptor, CUarray into)
{
    size_t element = format_bytes(descriptor->Format) * descriptor->NumChannels;
    unsigned channels = descriptor->NumChannels;

    if (!element || (channels != 1 && channels != 2 && channels != 4) || !descriptor->Width)
        return CUDA_ERROR_INVALID_VALUE;
    into->descriptor = *descriptor;
    into->rows = descriptor->Height ? descriptor->Height : 1;
    into->layers = descriptor->Depth ? descriptor->Depth : 1;
    size_t row, bytes;
    if (__builtin_mul_overflow(descriptor->Width, element, &row) || row > SIZE_MAX - ROW_ALIGN)
        return CUDA_ERROR_OUT_OF_MEMORY;
    into->pitch = ROUND_UP(row, ROW_ALIGN);
    if (__builtin_mul_overflow(into->pitch, into->rows, &into->slice) ||
        __builtin_mul_overflow(into->slice, into->layers, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    return CUDA_SUCCESS;
}

static CUresult array_create(CUcontext ctx, const CUDA_ARRAY3D_DESCRIPTOR *descriptor, CUarray *ret)
{
    CUarray made = handle_take(&array_cache);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = measure(descriptor, made);
    if (result == CUDA_SUCCESS)
        result = memory_take(&ctx->arena, context_memory(ctx), MEMORY_ARRAY,
                             made->slice * made->layers, &made->memory);
    if (result != CUDA_SUCCESS) {
        handle_give(&array_cache, made);
        return result;
    }
    made->of_mipmap = false;
    observed_memory(OBSERVER_ALLOCATE, made->memory, NULL);
    *ret = made;
    return CUDA_SUCCESS;
}

static void array_destroy(CUarray array)
{
    observed_memory(OBSERVER_FREE, array->memory, NULL);
    memory_give(array->memory);
    handle_give(&array_cache, array);
}

static CUresult create(CUarray *ret, const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS && (!ret || !descriptor))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    return result == CUDA_SUCCESS ? array_create(ctx, descriptor, ret) : result;
}

static CUresult create_flat(CUarray *ret, const CUDA_ARRAY_DESCRIPTOR *flat)
{
    if (!flat)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {.Width = flat->Width,
                                          .Height = flat->Height,
                                          .Format = flat->Format,
                                          .NumChannels = flat->NumChannels};
    return create(ret, &descriptor);
}

static CUresult destroy(CUarray array)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS && (!handle_is(array, HANDLE_ARRAY) || array->of_mipmap))
        result = CUDA_ERROR_INVALID_HANDLE;
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    device_wait(array->memory->device);
    array_destroy(array);
    return CUDA_SUCCESS;
}

static CUresult descriptor_get(CUDA_ARRAY3D_DESCRIPTOR *ret, CUarray array)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(array, HANDLE_ARRAY))
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = array->descriptor;
    return CUDA_SUCCESS;
}

static CUresult descriptor_get_flat(CUDA_ARRAY_DESCRIPTOR *ret, CUarray array)
{
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    CUresult result = ret ? descriptor_get(&descriptor, array) : CUDA_ERROR_INVALID_VALUE;

    if (result == CUDA_SUCCESS)
        *ret = (CUDA_ARRAY_DESCRIPTOR){descriptor.Width, descriptor.Height, descriptor.Format,
                                       descriptor.NumChannels};
    return result;
}

static size_t halved(size_t extent)
{
    return extent > 1 ? extent / 2 : extent;
}

static void mipmap_drop(CUmipmappedArray mipmap)
{
    while (mipmap->level_count)
        array_destroy(mipmap->levels[--mipmap->level_count]);
    handle_give(&mipmap_cache, mipmap);
}

static CUresult mipmap_create(CUmipmappedArray *ret, const CUDA_ARRAY3D_DESCRIPTOR *descriptor,
                              unsigned levels)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS && (!ret || !descriptor || !levels || levels > LEVELS_MAX))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    CUmipmappedArray made = handle_take(&mipmap_cache);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUDA_ARRAY3D_DESCRIPTOR level = *descriptor;
    for (made->level_count = 0; made->level_count < levels; made->level_count++) {
        result = array_create(ctx, &level, &made->levels[made->level_count]);
        if (result != CUDA_SUCCESS) {
            mipmap_drop(made);
            return result;
        }
        made->levels[made->level_count]->of_mipmap = true;
        level.Width = halved(level.Width);
        level.Height = halved(level.Height);
        level.Depth = halved(level.Depth);
    }
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult mipmap_level(CUarray *ret, CUmipmappedArray mipmap, unsigned level)
{
    if (!handle_is(mipmap, HANDLE_MIPMAP))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret || level >= mipmap->level_count)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = mipmap->levels[level];
    return CUDA_SUCCESS;
}

static CUresult mipmap_destroy(CUmipmappedArray mipmap)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS && !handle_is(mipmap, HANDLE_MIPMAP))
        result = CUDA_ERROR_INVALID_HANDLE;
    if (result == CUDA_SUCCESS)
        result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    device_wait(ctx->device);
    mipmap_drop(mipmap);
    return CUDA_SUCCESS;
}

static size_t array_bytes(const CUarray *array)
{
    return *array ? (*array)->memory->bytes : 0;
}

CUresult CUDAAPI cuArrayCreate_v2(CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR *pAllocateArray)
{
    CALL(cuArrayCreate_v2, create_flat(pHandle, pAllocateArray), "bytes=%zu\tarray=0x%llx",
         result_ == CUDA_SUCCESS ? array_bytes(pHandle) : 0, HEX(OUT(pHandle)));
}

CUresult CUDAAPI cuArray3DCreate_v2(CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pAllocateArray)
{
    CALL(cuArray3DCreate_v2, create(pHandle, pAllocateArray), "bytes=%zu\tarray=0x%llx",
         result_ == CUDA_SUCCESS ? array_bytes(pHandle) : 0, HEX(OUT(pHandle)));
}

CUresult CUDAAPI cuArrayDestroy(CUarray hArray)
{
    CALL(cuArrayDestroy, destroy(hArray), "array=0x%llx", HEX(hArray));
}

CUresult CUDAAPI cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR *pArrayDescriptor, CUarray hArray)
{
    CALL(cuArrayGetDescriptor_v2, descriptor_get_flat(pArrayDescriptor, hArray));
}

CUresult CUDAAPI cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR *pArrayDescriptor,
                                           CUarray hArray)
{
    CALL(cuArray3DGetDescriptor_v2, descriptor_get(pArrayDescriptor, hArray));
}

CUresult CUDAAPI cuMipmappedArrayCreate(CUmipmappedArray *pHandle,
                                        const CUDA_ARRAY3D_DESCRIPTOR *pMipmappedArrayDesc,
                                        unsigned int numMipmapLevels)
{
    CALL(cuMipmappedArrayCreate, mipmap_create(pHandle, pMipmappedArrayDesc, numMipmapLevels));
}

CUresult CUDAAPI cuMipmappedArrayGetLevel(CUarray *pLevelArray, CUmipmappedArray hMipmappedArray,
                                          unsigned int level)
{
    CALL(cuMipmappedArrayGetLevel, mipmap_level(pLevelArray, hMipmappedArray, level));
}

CUresult CUDAAPI cuMipmappedArrayDestroy(CUmipmappedArray hMipmappedArray)
{
    CALL(cuMipmappedArrayDestroy, mipmap_destroy(hMipmappedArray));
}
