/* SPDX-License-Identifier: MIT */
/*
 * Texture and surface objects: their descriptions are checked, stored and returned. A 64-bit
 * number identifies one, as natively. Nothing samples them: host twins of kernels do not take any.
 * The older texture references are not simulated.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/memory/array.h"

#define LINEAR_ALIGN 512 /* CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT */
#define PITCH_ALIGN  32  /* CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT */

struct sampled {
    struct handle handle;
    CUDA_RESOURCE_DESC resource;
    CUDA_TEXTURE_DESC texture; /* of a texture */
    CUDA_RESOURCE_VIEW_DESC view;
    bool has_view;
};

static struct handle_cache texture_cache = {HANDLE_TEXTURE, sizeof(struct sampled), {NULL}, {NULL}};
static struct handle_cache surface_cache = {HANDLE_SURFACE, sizeof(struct sampled), {NULL}, {NULL}};

static bool is_memory(CUdeviceptr at, size_t bytes)
{
    return bytes && at % LINEAR_ALIGN == 0 && memory_covers(at, bytes);
}

static bool is_pitched(const CUDA_RESOURCE_DESC *resource)
{
    size_t pitch = resource->res.pitch2D.pitchInBytes, height = resource->res.pitch2D.height;

    return resource->res.pitch2D.width && height && pitch && pitch % PITCH_ALIGN == 0 &&
           height <= SIZE_MAX / pitch && is_memory(resource->res.pitch2D.devPtr, pitch * height);
}

static CUresult resource_check(const CUDA_RESOURCE_DESC *resource)
{
    bool good = false;

    if (!resource || resource->flags)
        return CUDA_ERROR_INVALID_VALUE;
    switch (resource->resType) {
    case CU_RESOURCE_TYPE_ARRAY:
        return handle_is(resource->res.array.hArray, HANDLE_ARRAY) ? CUDA_SUCCESS
                                                                   : CUDA_ERROR_INVALID_HANDLE;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
        return handle_is(resource->res.mipmap.hMipmappedArray, HANDLE_MIPMAP)
                   ? CUDA_SUCCESS
                   : CUDA_ERROR_INVALID_HANDLE;
    case CU_RESOURCE_TYPE_LINEAR:
        good = is_memory(resource->res.linear.devPtr, resource->res.linear.sizeInBytes);
        break;
    case CU_RESOURCE_TYPE_PITCH2D: good = is_pitched(resource); break;
    default: break;
    }
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult sampled_create(struct handle_cache *cache, unsigned long long *ret,
                               struct sampled filled)
{
    struct sampled *made = handle_take(cache);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->resource = filled.resource;
    made->texture = filled.texture;
    made->view = filled.view;
    made->has_view = filled.has_view;
    *ret = (uintptr_t)made;
    return CUDA_SUCCESS;
}

static CUresult texture_create(CUtexObject *ret, const CUDA_RESOURCE_DESC *resource,
                               const CUDA_TEXTURE_DESC *texture,
                               const CUDA_RESOURCE_VIEW_DESC *view)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS && (!ret || !texture))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = resource_check(resource);
    /* A view is of an array. */
    if (result == CUDA_SUCCESS && view && resource->resType != CU_RESOURCE_TYPE_ARRAY &&
        resource->resType != CU_RESOURCE_TYPE_MIPMAPPED_ARRAY)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result != CUDA_SUCCESS)
        return result;
    return sampled_create(&texture_cache, ret,
                          (struct sampled){.resource = *resource,
                                           .texture = *texture,
                                           .has_view = view,
                                           .view = view ? *view : (CUDA_RESOURCE_VIEW_DESC){0}});
}

/* A surface is of an array that was made for one. */
static CUresult surface_create(CUsurfObject *ret, const CUDA_RESOURCE_DESC *resource)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS &&
        (!ret || !resource || resource->resType != CU_RESOURCE_TYPE_ARRAY))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = resource_check(resource);
    if (result == CUDA_SUCCESS &&
        !(resource->res.array.hArray->descriptor.Flags & CUDA_ARRAY3D_SURFACE_LDST))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result != CUDA_SUCCESS)
        return result;
    return sampled_create(&surface_cache, ret, (struct sampled){.resource = *resource});
}

static struct sampled *sampled_of(struct handle_cache *cache, unsigned long long object)
{
    struct sampled *sampled = (struct sampled *)(uintptr_t)object;

    return handle_is(sampled, cache->magic) ? sampled : NULL;
}

static CUresult sampled_destroy(struct handle_cache *cache, unsigned long long object)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);
    struct sampled *sampled = sampled_of(cache, object);

    if (result == CUDA_SUCCESS && !sampled)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        handle_give(cache, sampled);
    return result;
}

static CUresult resource_tell(struct handle_cache *cache, CUDA_RESOURCE_DESC *ret,
                              unsigned long long object)
{
    const struct sampled *sampled = sampled_of(cache, object);

    if (!ret || !sampled)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = sampled->resource;
    return CUDA_SUCCESS;
}

static CUresult texture_tell(CUDA_TEXTURE_DESC *ret, CUtexObject object)
{
    const struct sampled *sampled = sampled_of(&texture_cache, object);

    if (!ret || !sampled)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = sampled->texture;
    return CUDA_SUCCESS;
}

static CUresult view_tell(CUDA_RESOURCE_VIEW_DESC *ret, CUtexObject object)
{
    const struct sampled *sampled = sampled_of(&texture_cache, object);

    if (!ret || !sampled || !sampled->has_view)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = sampled->view;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuTexObjectCreate(CUtexObject *pTexObject, const CUDA_RESOURCE_DESC *pResDesc,
                                   const CUDA_TEXTURE_DESC *pTexDesc,
                                   const CUDA_RESOURCE_VIEW_DESC *pResViewDesc)
{
    CALL(cuTexObjectCreate, texture_create(pTexObject, pResDesc, pTexDesc, pResViewDesc));
}

CUresult CUDAAPI cuTexObjectDestroy(CUtexObject texObject)
{
    CALL(cuTexObjectDestroy, sampled_destroy(&texture_cache, texObject));
}

CUresult CUDAAPI cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC *pResDesc, CUtexObject texObject)
{
    CALL(cuTexObjectGetResourceDesc, resource_tell(&texture_cache, pResDesc, texObject));
}

CUresult CUDAAPI cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC *pTexDesc, CUtexObject texObject)
{
    CALL(cuTexObjectGetTextureDesc, texture_tell(pTexDesc, texObject));
}

CUresult CUDAAPI cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC *pResViewDesc,
                                                CUtexObject texObject)
{
    CALL(cuTexObjectGetResourceViewDesc, view_tell(pResViewDesc, texObject));
}

CUresult CUDAAPI cuSurfObjectCreate(CUsurfObject *pSurfObject, const CUDA_RESOURCE_DESC *pResDesc)
{
    CALL(cuSurfObjectCreate, surface_create(pSurfObject, pResDesc));
}

CUresult CUDAAPI cuSurfObjectDestroy(CUsurfObject surfObject)
{
    CALL(cuSurfObjectDestroy, sampled_destroy(&surface_cache, surfObject));
}

CUresult CUDAAPI cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC *pResDesc, CUsurfObject surfObject)
{
    CALL(cuSurfObjectGetResourceDesc, resource_tell(&surface_cache, pResDesc, surfObject));
}
