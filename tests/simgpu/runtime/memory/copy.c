/* SPDX-License-Identifier: MIT */
/*
 * Descriptions of copies: see copy.h.
 *
 * Units are where the two APIs differ. The driver counts x in bytes throughout. The runtime counts
 * an offset in elements of its own object (bytes for linear memory) and the extent in elements of
 * the array that takes part, in bytes when none does.
 */
#include "tests/simgpu/runtime/memory/copy.h"

#include <stdbool.h>
#include <stddef.h>

#include "tests/simgpu/array_format.h"

cudaError_t copy_kind_types(enum cudaMemcpyKind kind, CUmemorytype *ret_dst, CUmemorytype *ret_src)
{
    switch (kind) {
    case cudaMemcpyHostToHost:
        *ret_dst = CU_MEMORYTYPE_HOST, *ret_src = CU_MEMORYTYPE_HOST;
        return cudaSuccess;
    case cudaMemcpyHostToDevice:
        *ret_dst = CU_MEMORYTYPE_DEVICE, *ret_src = CU_MEMORYTYPE_HOST;
        return cudaSuccess;
    case cudaMemcpyDeviceToHost:
        *ret_dst = CU_MEMORYTYPE_HOST, *ret_src = CU_MEMORYTYPE_DEVICE;
        return cudaSuccess;
    case cudaMemcpyDeviceToDevice:
        *ret_dst = CU_MEMORYTYPE_DEVICE, *ret_src = CU_MEMORYTYPE_DEVICE;
        return cudaSuccess;
    case cudaMemcpyDefault:
        *ret_dst = CU_MEMORYTYPE_UNIFIED, *ret_src = CU_MEMORYTYPE_UNIFIED;
        return cudaSuccess;
    }
    return cudaErrorInvalidMemcpyDirection;
}

static cudaError_t array_measure(cudaArray_const_t array, size_t *ret_element, size_t *ret_width)
{
    CUDA_ARRAY3D_DESCRIPTOR shape;
    CUresult result = DRIVER(cuArray3DGetDescriptor)(&shape, (CUarray)(uintptr_t)array);

    if (result != CUDA_SUCCESS)
        return error_from(result);
    *ret_element = format_bytes(shape.Format) * shape.NumChannels;
    *ret_width = shape.Width;
    return *ret_element > 0 ? cudaSuccess : cudaErrorNotSupported;
}

cudaError_t copy_array_element(cudaArray_const_t array, size_t *ret_bytes)
{
    size_t width;

    return array_measure(array, ret_bytes, &width);
}

cudaError_t copy_array_row(cudaArray_const_t array, size_t *ret_bytes)
{
    size_t element = 0, width = 0;
    cudaError_t status = array_measure(array, &element, &width);

    if (status == cudaSuccess)
        *ret_bytes = element * width;
    return status;
}

static bool side_pitch_fits(struct copy_side side, size_t width_bytes, size_t height)
{
    return side.array || height <= 1 || side.pitch_bytes >= width_bytes;
}

cudaError_t copy_describe_2d(struct copy_side dst, struct copy_side src, size_t width_bytes,
                             size_t height, enum cudaMemcpyKind kind, CUDA_MEMCPY2D *ret_copy)
{
    CUmemorytype dst_type, src_type;
    cudaError_t status = copy_kind_types(kind, &dst_type, &src_type);

    if (status != cudaSuccess)
        return status;
    if (!side_pitch_fits(dst, width_bytes, height) || !side_pitch_fits(src, width_bytes, height))
        return cudaErrorInvalidPitchValue;
    *ret_copy = (CUDA_MEMCPY2D){
        .srcXInBytes = src.x_bytes,
        .srcY = src.y,
        .srcMemoryType = src.array ? CU_MEMORYTYPE_ARRAY : src_type,
        .srcHost = src.pointer,
        .srcDevice = DEVICE_ADDRESS(src.pointer),
        .srcArray = (CUarray)(uintptr_t)src.array,
        .srcPitch = src.pitch_bytes,
        .dstXInBytes = dst.x_bytes,
        .dstY = dst.y,
        .dstMemoryType = dst.array ? CU_MEMORYTYPE_ARRAY : dst_type,
        .dstHost = (void *)(uintptr_t)dst.pointer,
        .dstDevice = DEVICE_ADDRESS(dst.pointer),
        .dstArray = (CUarray)(uintptr_t)dst.array,
        .dstPitch = dst.pitch_bytes,
        .WidthInBytes = width_bytes,
        .Height = height,
    };
    return cudaSuccess;
}

/* What both three-dimensional forms of the runtime say about one side. */
struct side_3d {
    cudaArray_t array;
    struct cudaPos position;
    struct cudaPitchedPtr pointer;
    size_t element_bytes; /* 1 for linear memory */
};

/* Exactly one of array and pointer must be given. */
static cudaError_t side_3d_measure(struct side_3d *side)
{
    side->element_bytes = 1;
    if (!side->array == !side->pointer.ptr)
        return cudaErrorInvalidValue;
    return side->array ? copy_array_element(side->array, &side->element_bytes) : cudaSuccess;
}

static size_t copy_element(struct side_3d dst, struct side_3d src)
{
    return dst.array ? dst.element_bytes : src.element_bytes;
}

static void side_3d_fill_src(struct side_3d side, CUmemorytype type, CUDA_MEMCPY3D *copy)
{
    copy->srcXInBytes = side.position.x * side.element_bytes;
    copy->srcY = side.position.y;
    copy->srcZ = side.position.z;
    copy->srcMemoryType = side.array ? CU_MEMORYTYPE_ARRAY : type;
    copy->srcHost = side.pointer.ptr;
    copy->srcDevice = DEVICE_ADDRESS(side.pointer.ptr);
    copy->srcArray = (CUarray)side.array;
    copy->srcPitch = side.pointer.pitch;
    copy->srcHeight = side.pointer.ysize;
}

static void side_3d_fill_dst(struct side_3d side, CUmemorytype type, CUDA_MEMCPY3D *copy)
{
    copy->dstXInBytes = side.position.x * side.element_bytes;
    copy->dstY = side.position.y;
    copy->dstZ = side.position.z;
    copy->dstMemoryType = side.array ? CU_MEMORYTYPE_ARRAY : type;
    copy->dstHost = side.pointer.ptr;
    copy->dstDevice = DEVICE_ADDRESS(side.pointer.ptr);
    copy->dstArray = (CUarray)side.array;
    copy->dstPitch = side.pointer.pitch;
    copy->dstHeight = side.pointer.ysize;
}

static cudaError_t describe_3d(struct side_3d dst, struct side_3d src, struct cudaExtent extent,
                               enum cudaMemcpyKind kind, CUDA_MEMCPY3D *ret_copy)
{
    CUmemorytype dst_type, src_type;
    cudaError_t status = side_3d_measure(&dst)
        ?: side_3d_measure(&src) ?: copy_kind_types(kind, &dst_type, &src_type);

    if (status != cudaSuccess)
        return status;
    *ret_copy = (CUDA_MEMCPY3D){
        .WidthInBytes = extent.width * copy_element(dst, src),
        .Height = extent.height,
        .Depth = extent.depth,
    };
    side_3d_fill_src(src, src_type, ret_copy);
    side_3d_fill_dst(dst, dst_type, ret_copy);
    return cudaSuccess;
}

cudaError_t copy_describe_3d(const struct cudaMemcpy3DParms *parameters, CUDA_MEMCPY3D *ret_copy)
{
    if (!parameters)
        return cudaErrorInvalidValue;
    return describe_3d(
        (struct side_3d){parameters->dstArray, parameters->dstPos, parameters->dstPtr, 0},
        (struct side_3d){parameters->srcArray, parameters->srcPos, parameters->srcPtr, 0},
        parameters->extent, parameters->kind, ret_copy);
}

cudaError_t copy_describe_3d_peer(const struct cudaMemcpy3DPeerParms *parameters,
                                  CUDA_MEMCPY3D_PEER *ret_copy)
{
    CUDA_MEMCPY3D copy;
    CUcontext dst = NULL, src = NULL;
    cudaError_t status = parameters ? cudaSuccess : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = describe_3d(
            (struct side_3d){parameters->dstArray, parameters->dstPos, parameters->dstPtr, 0},
            (struct side_3d){parameters->srcArray, parameters->srcPos, parameters->srcPtr, 0},
            parameters->extent, cudaMemcpyDeviceToDevice, &copy)
            ?: context_primary(parameters->dstDevice, &dst)
            ?: context_primary(parameters->srcDevice, &src);
    if (status != cudaSuccess)
        return status;
    *ret_copy = (CUDA_MEMCPY3D_PEER){
        .srcXInBytes = copy.srcXInBytes,
        .srcY = copy.srcY,
        .srcZ = copy.srcZ,
        .srcMemoryType = copy.srcMemoryType,
        .srcDevice = copy.srcDevice,
        .srcArray = copy.srcArray,
        .srcContext = src,
        .srcPitch = copy.srcPitch,
        .srcHeight = copy.srcHeight,
        .dstXInBytes = copy.dstXInBytes,
        .dstY = copy.dstY,
        .dstZ = copy.dstZ,
        .dstMemoryType = copy.dstMemoryType,
        .dstDevice = copy.dstDevice,
        .dstArray = copy.dstArray,
        .dstContext = dst,
        .dstPitch = copy.dstPitch,
        .dstHeight = copy.dstHeight,
        .WidthInBytes = copy.WidthInBytes,
        .Height = copy.Height,
        .Depth = copy.Depth,
    };
    return cudaSuccess;
}

cudaError_t copy_describe_1d(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                             CUDA_MEMCPY3D *ret_copy)
{
    const struct cudaMemcpy3DParms parameters = {
        .srcPtr = {.ptr = (void *)(uintptr_t)src, .pitch = count, .xsize = count, .ysize = 1},
        .dstPtr = {.ptr = dst, .pitch = count, .xsize = count, .ysize = 1},
        .extent = {.width = count, .height = 1, .depth = 1},
        .kind = kind,
    };

    return copy_describe_3d(&parameters, ret_copy);
}

static enum cudaMemcpyKind kind_from_types(CUmemorytype dst, CUmemorytype src)
{
    if (dst == CU_MEMORYTYPE_UNIFIED || src == CU_MEMORYTYPE_UNIFIED)
        return cudaMemcpyDefault;
    if (src == CU_MEMORYTYPE_HOST)
        return dst == CU_MEMORYTYPE_HOST ? cudaMemcpyHostToHost : cudaMemcpyHostToDevice;
    return dst == CU_MEMORYTYPE_HOST ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
}

/* Linear memory is the host's or the device's pointer, by type; an array has none. */
static void *linear_pointer(CUmemorytype type, const void *host, CUdeviceptr device)
{
    if (type == CU_MEMORYTYPE_ARRAY)
        return NULL;
    return type == CU_MEMORYTYPE_HOST ? (void *)(uintptr_t)host : (void *)(uintptr_t)device;
}

cudaError_t copy_recall_3d(const CUDA_MEMCPY3D *copy, struct cudaMemcpy3DParms *ret_parameters)
{
    bool from_array = copy->srcMemoryType == CU_MEMORYTYPE_ARRAY;
    bool to_array = copy->dstMemoryType == CU_MEMORYTYPE_ARRAY;
    size_t src_element = 1, dst_element = 1;
    cudaError_t status = cudaSuccess;

    if (from_array)
        status = copy_array_element((cudaArray_t)copy->srcArray, &src_element);
    if (status == cudaSuccess && to_array)
        status = copy_array_element((cudaArray_t)copy->dstArray, &dst_element);
    if (status != cudaSuccess)
        return status;
    *ret_parameters = (struct cudaMemcpy3DParms){
        .srcArray = from_array ? (cudaArray_t)copy->srcArray : NULL,
        .srcPos = {copy->srcXInBytes / src_element, copy->srcY, copy->srcZ},
        .srcPtr = {linear_pointer(copy->srcMemoryType, copy->srcHost, copy->srcDevice),
                   copy->srcPitch, copy->WidthInBytes, copy->srcHeight},
        .dstArray = to_array ? (cudaArray_t)copy->dstArray : NULL,
        .dstPos = {copy->dstXInBytes / dst_element, copy->dstY, copy->dstZ},
        .dstPtr = {linear_pointer(copy->dstMemoryType, copy->dstHost, copy->dstDevice),
                   copy->dstPitch, copy->WidthInBytes, copy->dstHeight},
        .extent = {copy->WidthInBytes / (to_array ? dst_element : src_element), copy->Height,
                   copy->Depth},
        .kind = kind_from_types(copy->dstMemoryType, copy->srcMemoryType),
    };
    return cudaSuccess;
}
