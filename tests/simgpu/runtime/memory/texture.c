/* SPDX-License-Identifier: MIT */
/*
 * Texture and surface objects: the runtime's descriptions to the driver's and back. The
 * enumerations of both APIs are the same numbers; the runtime has flags of a texture as fields of
 * their own.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "tests/simgpu/runtime/memory/channel.h"

/* The 12 structures end before what this header's have behind. */
#if RUNTIME_MAJOR <= 12
#define RESOURCE_FLAGS(desc) 0
#define RESOURCE_BYTES       64
#define VIEW_BYTES           offsetof(struct cudaResourceViewDesc, reserved)
#else
#define RESOURCE_FLAGS(desc) ((desc)->flags)
#define RESOURCE_BYTES       sizeof(struct cudaResourceDesc)
#define VIEW_BYTES           sizeof(struct cudaResourceViewDesc)
#endif

/* Fields of a texture that are bits of the driver's. */
static unsigned texture_flags(const struct cudaTextureDesc *desc)
{
    return (desc->readMode == cudaReadModeElementType ? CU_TRSF_READ_AS_INTEGER : 0) |
           (desc->normalizedCoords ? CU_TRSF_NORMALIZED_COORDINATES : 0) |
           (desc->sRGB ? CU_TRSF_SRGB : 0) |
           (desc->disableTrilinearOptimization ? CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION : 0) |
           (desc->seamlessCubemap ? CU_TRSF_SEAMLESS_CUBEMAP : 0);
}

static CUDA_TEXTURE_DESC texture_to_driver(const struct cudaTextureDesc *desc)
{
    CUDA_TEXTURE_DESC made = {
        .filterMode = (CUfilter_mode)desc->filterMode,
        .flags = texture_flags(desc),
        .maxAnisotropy = desc->maxAnisotropy,
        .mipmapFilterMode = (CUfilter_mode)desc->mipmapFilterMode,
        .mipmapLevelBias = desc->mipmapLevelBias,
        .minMipmapLevelClamp = desc->minMipmapLevelClamp,
        .maxMipmapLevelClamp = desc->maxMipmapLevelClamp,
    };

    for (int i = 0; i < 3; i++)
        made.addressMode[i] = (CUaddress_mode)desc->addressMode[i];
    memcpy(made.borderColor, desc->borderColor, sizeof(made.borderColor));
    return made;
}

static struct cudaTextureDesc texture_from_driver(const CUDA_TEXTURE_DESC *desc)
{
    struct cudaTextureDesc made = {
        .filterMode = (enum cudaTextureFilterMode)desc->filterMode,
        .readMode = desc->flags & CU_TRSF_READ_AS_INTEGER ? cudaReadModeElementType
                                                          : cudaReadModeNormalizedFloat,
        .sRGB = (desc->flags & CU_TRSF_SRGB) != 0,
        .normalizedCoords = (desc->flags & CU_TRSF_NORMALIZED_COORDINATES) != 0,
        .maxAnisotropy = desc->maxAnisotropy,
        .mipmapFilterMode = (enum cudaTextureFilterMode)desc->mipmapFilterMode,
        .mipmapLevelBias = desc->mipmapLevelBias,
        .minMipmapLevelClamp = desc->minMipmapLevelClamp,
        .maxMipmapLevelClamp = desc->maxMipmapLevelClamp,
        .disableTrilinearOptimization = (desc->flags & CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION) != 0,
        .seamlessCubemap = (desc->flags & CU_TRSF_SEAMLESS_CUBEMAP) != 0,
    };

    for (int i = 0; i < 3; i++)
        made.addressMode[i] = (enum cudaTextureAddressMode)desc->addressMode[i];
    memcpy(made.borderColor, desc->borderColor, sizeof(made.borderColor));
    return made;
}

static cudaError_t resource_to_driver(const struct cudaResourceDesc *desc, CUDA_RESOURCE_DESC *ret)
{
    CUDA_ARRAY3D_DESCRIPTOR shape = {0};
    cudaError_t status = cudaSuccess;

    *ret = (CUDA_RESOURCE_DESC){.resType = (CUresourcetype)desc->resType,
                                .flags = RESOURCE_FLAGS(desc)};
    switch (desc->resType) {
    case cudaResourceTypeArray: ret->res.array.hArray = (CUarray)desc->res.array.array; break;
    case cudaResourceTypeMipmappedArray:
        ret->res.mipmap.hMipmappedArray = (CUmipmappedArray)desc->res.mipmap.mipmap;
        break;
    case cudaResourceTypeLinear:
        status = channel_to_driver(&desc->res.linear.desc, &shape);
        ret->res.linear.devPtr = DEVICE_ADDRESS(desc->res.linear.devPtr);
        ret->res.linear.format = shape.Format;
        ret->res.linear.numChannels = shape.NumChannels;
        ret->res.linear.sizeInBytes = desc->res.linear.sizeInBytes;
        break;
    case cudaResourceTypePitch2D:
        status = channel_to_driver(&desc->res.pitch2D.desc, &shape);
        ret->res.pitch2D.devPtr = DEVICE_ADDRESS(desc->res.pitch2D.devPtr);
        ret->res.pitch2D.format = shape.Format;
        ret->res.pitch2D.numChannels = shape.NumChannels;
        ret->res.pitch2D.width = desc->res.pitch2D.width;
        ret->res.pitch2D.height = desc->res.pitch2D.height;
        ret->res.pitch2D.pitchInBytes = desc->res.pitch2D.pitchInBytes;
        break;
    default: status = cudaErrorInvalidValue;
    }
    return status;
}

static struct cudaChannelFormatDesc channel_of(CUarray_format format, unsigned channels)
{
    CUDA_ARRAY3D_DESCRIPTOR shape = {.Format = format, .NumChannels = channels};

    return channel_from_driver(&shape);
}

static void resource_from_driver(const CUDA_RESOURCE_DESC *desc, struct cudaResourceDesc *ret)
{
    struct cudaResourceDesc made = {.resType = (enum cudaResourceType)desc->resType};

    switch (desc->resType) {
    case CU_RESOURCE_TYPE_ARRAY: made.res.array.array = (cudaArray_t)desc->res.array.hArray; break;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
        made.res.mipmap.mipmap = (cudaMipmappedArray_t)desc->res.mipmap.hMipmappedArray;
        break;
    case CU_RESOURCE_TYPE_LINEAR:
        made.res.linear.devPtr = (void *)(uintptr_t)desc->res.linear.devPtr;
        made.res.linear.desc = channel_of(desc->res.linear.format, desc->res.linear.numChannels);
        made.res.linear.sizeInBytes = desc->res.linear.sizeInBytes;
        break;
    default:
        made.res.pitch2D.devPtr = (void *)(uintptr_t)desc->res.pitch2D.devPtr;
        made.res.pitch2D.desc = channel_of(desc->res.pitch2D.format, desc->res.pitch2D.numChannels);
        made.res.pitch2D.width = desc->res.pitch2D.width;
        made.res.pitch2D.height = desc->res.pitch2D.height;
        made.res.pitch2D.pitchInBytes = desc->res.pitch2D.pitchInBytes;
    }
    memcpy(ret, &made, RESOURCE_BYTES);
}

/* The views of both APIs begin alike. */
static CUDA_RESOURCE_VIEW_DESC view_to_driver(const struct cudaResourceViewDesc *desc)
{
    CUDA_RESOURCE_VIEW_DESC made = {0};

    static_assert(offsetof(CUDA_RESOURCE_VIEW_DESC, reserved) ==
                      offsetof(struct cudaResourceViewDesc, reserved),
                  "the same view");
    memcpy(&made, desc, VIEW_BYTES);
    return made;
}

cudaError_t cudaCreateTextureObject(cudaTextureObject_t *pTexObject,
                                    const struct cudaResourceDesc *pResDesc,
                                    const struct cudaTextureDesc *pTexDesc,
                                    const struct cudaResourceViewDesc *pResViewDesc)
{
    CUDA_RESOURCE_DESC resource;
    cudaError_t status = pTexObject && pResDesc && pTexDesc ? context_ready()
                                                            : cudaErrorInvalidValue;

    status = status ?: resource_to_driver(pResDesc, &resource);
    if (status != cudaSuccess)
        return error_keep(status);
    CUDA_TEXTURE_DESC texture = texture_to_driver(pTexDesc);
    CUDA_RESOURCE_VIEW_DESC view = {0};
    if (pResViewDesc)
        view = view_to_driver(pResViewDesc);
    return error_keep_result(
        DRIVER(cuTexObjectCreate)(pTexObject, &resource, &texture, pResViewDesc ? &view : NULL));
}

cudaError_t cudaGetTextureObjectResourceDesc(struct cudaResourceDesc *pResDesc,
                                             cudaTextureObject_t texObject)
{
    CUDA_RESOURCE_DESC resource;
    cudaError_t status = pResDesc ? context_ready() : cudaErrorInvalidValue;

    status = status ?: error_from(DRIVER(cuTexObjectGetResourceDesc)(&resource, texObject));
    if (status == cudaSuccess)
        resource_from_driver(&resource, pResDesc);
    return error_keep(status);
}

cudaError_t cudaGetTextureObjectTextureDesc(struct cudaTextureDesc *pTexDesc,
                                            cudaTextureObject_t texObject)
{
    CUDA_TEXTURE_DESC texture;
    cudaError_t status = pTexDesc ? context_ready() : cudaErrorInvalidValue;

    status = status ?: error_from(DRIVER(cuTexObjectGetTextureDesc)(&texture, texObject));
    if (status == cudaSuccess)
        *pTexDesc = texture_from_driver(&texture);
    return error_keep(status);
}

cudaError_t cudaGetTextureObjectResourceViewDesc(struct cudaResourceViewDesc *pResViewDesc,
                                                 cudaTextureObject_t texObject)
{
    CUDA_RESOURCE_VIEW_DESC view;
    cudaError_t status = pResViewDesc ? context_ready() : cudaErrorInvalidValue;

    status = status ?: error_from(DRIVER(cuTexObjectGetResourceViewDesc)(&view, texObject));
    if (status == cudaSuccess)
        memcpy(pResViewDesc, &view, VIEW_BYTES);
    return error_keep(status);
}

cudaError_t cudaCreateSurfaceObject(cudaSurfaceObject_t *pSurfObject,
                                    const struct cudaResourceDesc *pResDesc)
{
    CUDA_RESOURCE_DESC resource;
    cudaError_t status = pSurfObject && pResDesc ? context_ready() : cudaErrorInvalidValue;

    status = status ?: resource_to_driver(pResDesc, &resource);
    return error_keep(status ?: error_from(DRIVER(cuSurfObjectCreate)(pSurfObject, &resource)));
}

cudaError_t cudaGetSurfaceObjectResourceDesc(struct cudaResourceDesc *pResDesc,
                                             cudaSurfaceObject_t surfObject)
{
    CUDA_RESOURCE_DESC resource;
    cudaError_t status = pResDesc ? context_ready() : cudaErrorInvalidValue;

    status = status ?: error_from(DRIVER(cuSurfObjectGetResourceDesc)(&resource, surfObject));
    if (status == cudaSuccess)
        resource_from_driver(&resource, pResDesc);
    return error_keep(status);
}
