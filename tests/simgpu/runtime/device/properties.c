/* SPDX-License-Identifier: MIT */
/*
 * cudaGetDeviceProperties, for both ABIs: properties.def says which attribute fills which field.
 *
 * An attribute the driver does not know leaves its field 0; the struct has no place for "unknown".
 */
#include "tests/simgpu/runtime/base/runtime.h"
#if RUNTIME_MAJOR <= 12
#include "tests/simgpu/runtime/abi/abi12_properties.h"
typedef struct abi12_properties properties;
#else
typedef struct cudaDeviceProp properties;
#endif

#include <stddef.h>
#include <string.h>

static int device_attribute(CUdevice device, CUdevice_attribute attribute)
{
    int value = 0;

    return DRIVER(cuDeviceGetAttribute)(&value, attribute, device) == CUDA_SUCCESS ? value : 0;
}

static cudaError_t properties_fill(properties *ret_properties, int ordinal)
{
    CUdevice device;
    cudaError_t status = driver_ready() ?: error_from(DRIVER(cuDeviceGet)(&device, ordinal));
    properties filled = {0};

    if (status != cudaSuccess)
        return status;
    status = error_from(DRIVER(cuDeviceGetName)(filled.name, sizeof(filled.name), device))
        ?: error_from(DRIVER(cuDeviceTotalMem)(&filled.totalGlobalMem, device))
        ?: error_from(DRIVER(cuDeviceGetUuid)((CUuuid *)&filled.uuid, device));
    if (status != cudaSuccess)
        return status;
#define PROPERTY(field, attribute)                                                                 \
    filled.field = (__typeof__(filled.field))device_attribute(device,                              \
                                                              CU_DEVICE_ATTRIBUTE_##attribute);
#include "tests/simgpu/runtime/device/properties.def"
    *ret_properties = filled;
    return cudaSuccess;
}

/* Renamed to cudaGetDeviceProperties_v2 in the 12 build, where its struct is the 12 one. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    return error_keep(prop ? properties_fill((properties *)prop, device) : cudaErrorInvalidValue);
}

#if RUNTIME_MAJOR <= 12
RUNTIME_PUBLIC cudaError_t
abi11_get_device_properties(void *prop, int device) __asm__("cudaGetDeviceProperties");

cudaError_t abi11_get_device_properties(void *prop, int device)
{
    properties filled;
    cudaError_t status = prop ? properties_fill(&filled, device) : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        memcpy(prop, &filled, offsetof(properties, hostRegisterSupported));
    return error_keep(status);
}
#endif
