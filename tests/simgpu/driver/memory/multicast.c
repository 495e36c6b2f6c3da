/* SPDX-License-Identifier: MIT */
/*
 * Multicast objects, as a device answers that cannot take part in one: its
 * CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED is 0, none is ever made, and so no handle is one.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/device/device.h"

static CUresult refused(const void *ret, const CUmulticastObjectProp *prop)
{
    return ret && prop && prop->numDevices && prop->size ? CUDA_ERROR_NOT_SUPPORTED
                                                         : CUDA_ERROR_INVALID_VALUE;
}

static CUresult refused_device(CUdevice device)
{
    return device_get(device) ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_DEVICE;
}

CUresult CUDAAPI cuMulticastCreate(CUmemGenericAllocationHandle *mcHandle,
                                   const CUmulticastObjectProp *prop)
{
    CALL(cuMulticastCreate, refused(mcHandle, prop));
}

CUresult CUDAAPI cuMulticastGetGranularity(size_t *granularity, const CUmulticastObjectProp *prop,
                                           CUmulticastGranularity_flags option)
{
    CALL(cuMulticastGetGranularity, refused(granularity, prop));
}

CUresult CUDAAPI cuMulticastAddDevice(CUmemGenericAllocationHandle mcHandle, CUdevice dev)
{
    CALL(cuMulticastAddDevice, refused_device(dev));
}

CUresult CUDAAPI cuMulticastBindMem(CUmemGenericAllocationHandle mcHandle, size_t mcOffset,
                                    CUmemGenericAllocationHandle memHandle, size_t memOffset,
                                    size_t size, unsigned long long flags)
{
    CALL(cuMulticastBindMem, CUDA_ERROR_INVALID_VALUE);
}

CUresult CUDAAPI cuMulticastBindAddr(CUmemGenericAllocationHandle mcHandle, size_t mcOffset,
                                     CUdeviceptr memptr, size_t size, unsigned long long flags)
{
    CALL(cuMulticastBindAddr, CUDA_ERROR_INVALID_VALUE);
}

CUresult CUDAAPI cuMulticastUnbind(CUmemGenericAllocationHandle mcHandle, CUdevice dev,
                                   size_t mcOffset, size_t size)
{
    CALL(cuMulticastUnbind, refused_device(dev));
}
