/* SPDX-License-Identifier: MIT */
/*
 * Allocation: additions of the runtime to the driver's functions.
 *
 * Where the driver refuses a size of zero the runtime succeeds with NULL, and freeing NULL succeeds
 * after making sure there is a context (programs use cudaFree(0) for just that). No allocation is
 * remembered here.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <stddef.h>

/* The element size the driver pads pitches for; any access a kernel makes is a multiple of it. */
enum { PITCH_ELEMENT_BYTES = 4 };

static cudaError_t device_allocate(size_t size_bytes, void **ret_pointer)
{
    CUdeviceptr address = 0;
    cudaError_t status = cudaSuccess;

    if (size_bytes > 0)
        status = error_from(DRIVER(cuMemAlloc)(&address, size_bytes));
    if (status == cudaSuccess)
        *ret_pointer = (void *)(uintptr_t)address;
    return status;
}

cudaError_t cudaMalloc(void **devPtr, size_t size)
{
    cudaError_t status = devPtr ? context_ready() : cudaErrorInvalidValue;

    return error_keep(status ?: device_allocate(size, devPtr));
}

cudaError_t cudaFree(void *devPtr)
{
    cudaError_t status = context_ready();

    if (status == cudaSuccess && devPtr)
        status = error_from(DRIVER(cuMemFree)(DEVICE_ADDRESS(devPtr)));
    return error_keep(status);
}

static cudaError_t pitched_allocate(size_t width_bytes, size_t rows, void **ret_pointer,
                                    size_t *ret_pitch)
{
    CUdeviceptr address = 0;
    size_t pitch = 0;
    cudaError_t status = cudaSuccess;

    if (width_bytes > 0 && rows > 0)
        status = error_from(
            DRIVER(cuMemAllocPitch)(&address, &pitch, width_bytes, rows, PITCH_ELEMENT_BYTES));
    if (status == cudaSuccess) {
        *ret_pointer = (void *)(uintptr_t)address;
        *ret_pitch = pitch;
    }
    return status;
}

cudaError_t cudaMallocPitch(void **devPtr, size_t *pitch, size_t width, size_t height)
{
    cudaError_t status = devPtr && pitch ? context_ready() : cudaErrorInvalidValue;

    return error_keep(status ?: pitched_allocate(width, height, devPtr, pitch));
}

cudaError_t cudaMalloc3D(struct cudaPitchedPtr *pitchedDevPtr, struct cudaExtent extent)
{
    struct cudaPitchedPtr made = {.xsize = extent.width, .ysize = extent.height};
    size_t rows;
    cudaError_t status = pitchedDevPtr ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess && __builtin_mul_overflow(extent.height, extent.depth, &rows))
        status = cudaErrorMemoryAllocation;
    if (status == cudaSuccess)
        status = pitched_allocate(extent.width, rows, &made.ptr, &made.pitch);
    if (status == cudaSuccess)
        *pitchedDevPtr = made;
    return error_keep(status);
}

static cudaError_t host_allocate(size_t size_bytes, unsigned flags, void **ret_pointer)
{
    void *pointer = NULL;
    cudaError_t status = cudaSuccess;

    if (size_bytes > 0)
        status = error_from(DRIVER(cuMemHostAlloc)(&pointer, size_bytes, flags));
    if (status == cudaSuccess)
        *ret_pointer = pointer;
    return status;
}

cudaError_t cudaHostAlloc(void **pHost, size_t size, unsigned int flags)
{
    cudaError_t status = pHost ? context_ready() : cudaErrorInvalidValue;

    return error_keep(status ?: host_allocate(size, flags, pHost));
}

cudaError_t cudaMallocHost(void **ptr, size_t size)
{
    cudaError_t status = ptr ? context_ready() : cudaErrorInvalidValue;

    return error_keep(status ?: host_allocate(size, 0, ptr));
}

cudaError_t cudaFreeHost(void *ptr)
{
    cudaError_t status = context_ready();

    if (status == cudaSuccess && ptr)
        status = error_from(DRIVER(cuMemFreeHost)(ptr));
    return error_keep(status);
}

static enum cudaMemoryType memory_type(unsigned driver_type, unsigned managed)
{
    if (managed)
        return cudaMemoryTypeManaged;
    switch (driver_type) {
    case CU_MEMORYTYPE_HOST: return cudaMemoryTypeHost;
    case CU_MEMORYTYPE_DEVICE: return cudaMemoryTypeDevice;
    default: return cudaMemoryTypeUnregistered;
    }
}

/* The driver answers for an address it does not know with success and values of zero. */
static cudaError_t pointer_ask(const void *pointer, struct cudaPointerAttributes *ret_attributes)
{
    unsigned type = 0, managed = 0;
    int device = cudaInvalidDeviceId;
    CUdeviceptr device_pointer = 0;
    void *host_pointer = NULL;
    CUpointer_attribute asked[] = {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE,    CU_POINTER_ATTRIBUTE_IS_MANAGED,
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
        CU_POINTER_ATTRIBUTE_HOST_POINTER,
    };
    void *answers[] = {&type, &managed, &device, &device_pointer, &host_pointer};
    CUresult result = DRIVER(cuPointerGetAttributes)(sizeof(asked) / sizeof(asked[0]), asked,
                                                     answers, DEVICE_ADDRESS(pointer));

    if (result != CUDA_SUCCESS)
        return error_from(result);
    *ret_attributes = (struct cudaPointerAttributes){
        .type = memory_type(type, managed),
        .device = type ? device : cudaInvalidDeviceId,
        .devicePointer = (void *)(uintptr_t)device_pointer,
        .hostPointer = host_pointer,
    };
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *ptr)
{
    cudaError_t status = attributes ? context_ready() : cudaErrorInvalidValue;

    return error_keep(status ?: pointer_ask(ptr, attributes));
}
