/* SPDX-License-Identifier: MIT */
/*
 * The handles of physical memory: creating, sharing through file descriptors, releasing.
 */
#include "tests/simgpu/driver/base/call.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/memory/vmm.h"

/* *ret_device is NULL for memory of the host. */
static CUresult prop_check(const CUmemAllocationProp *prop, struct device **ret_device)
{
    if (!prop || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_device = NULL;
    switch (prop->location.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        *ret_device = device_get(prop->location.id);
        return *ret_device ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT: return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult create(CUmemGenericAllocationHandle *ret, size_t bytes,
                       const CUmemAllocationProp *prop, unsigned long long flags)
{
    struct device *device;
    struct physical *made;
    CUresult result = prop_check(prop, &device);

    if (result == CUDA_SUCCESS && !profile.vmm)
        result = CUDA_ERROR_NOT_SUPPORTED;
    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || !bytes || bytes % PAGE_BYTES || flags)
        return CUDA_ERROR_INVALID_VALUE;
    unsigned types = profile.export_fd ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : 0;
    if (prop->requestedHandleTypes & ~types)
        return CUDA_ERROR_NOT_SUPPORTED;
    result = physical_create(device, bytes, prop->requestedHandleTypes != 0, &made);
    if (result != CUDA_SUCCESS)
        return result;
    made->prop = *prop;
    call_bytes(CALL_cuMemCreate, bytes);
    *ret = (CUmemGenericAllocationHandle)made;
    return CUDA_SUCCESS;
}

static struct physical *physical_of(CUmemGenericAllocationHandle handle)
{
    struct physical *physical = (struct physical *)handle;

    return handle_is(physical, HANDLE_PHYSICAL) && physical->handles ? physical : NULL;
}

static CUresult release(CUmemGenericAllocationHandle handle)
{
    struct physical *physical = physical_of(handle);

    if (!physical)
        return CUDA_ERROR_INVALID_VALUE;
    physical->handles--;
    physical_check(physical);
    return CUDA_SUCCESS;
}

static CUresult retain_at(CUmemGenericAllocationHandle *ret, void *address)
{
    struct allocation *mapping = memory_find((uintptr_t)address);

    if (!ret || !mapping || mapping->kind != MEMORY_MAPPED)
        return CUDA_ERROR_INVALID_VALUE;
    mapping->physical->handles++;
    *ret = (CUmemGenericAllocationHandle)mapping->physical;
    return CUDA_SUCCESS;
}

static CUresult granularity(size_t *ret, const CUmemAllocationProp *prop)
{
    struct device *device;
    CUresult result = prop_check(prop, &device);

    if (result == CUDA_SUCCESS && !ret)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        *ret = PAGE_BYTES;
    return result;
}

static CUresult prop_get(CUmemAllocationProp *ret, CUmemGenericAllocationHandle handle)
{
    if (!ret || !physical_of(handle))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = physical_of(handle)->prop;
    return CUDA_SUCCESS;
}

static CUresult export_fd(void *ret, CUmemGenericAllocationHandle handle,
                          CUmemAllocationHandleType type, unsigned long long flags)
{
    struct physical *physical = physical_of(handle);

    if (!ret || !physical || flags || !(physical->prop.requestedHandleTypes & type) || !type)
        return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_NOT_SUPPORTED;
    int fd = fcntl(physical->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return CUDA_ERROR_OPERATING_SYSTEM;
    *(int *)ret = fd;
    return CUDA_SUCCESS;
}

static struct device *device_by_physical(int index)
{
    for (int i = 0; i < device_count(); i++)
        if ((int)device_get(i)->physical == index)
            return device_get(i);
    return NULL;
}

/* Whose memory a descriptor is stands in the name of its file; false if it is none of ours. */
static bool fd_identify(int fd, int *ret_device, size_t *ret_bytes)
{
    char link[64], name[128];
    struct stat status;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0 || fstat(fd, &status))
        return false;
    name[length] = 0;
    *ret_bytes = (size_t)status.st_size;
    return sscanf(name, "/memfd:simgpu-shared-%d", ret_device) == 1;
}

static CUresult import_fd(CUmemGenericAllocationHandle *ret, void *os_handle,
                          CUmemAllocationHandleType type)
{
    int fd = (int)(intptr_t)os_handle, index;
    size_t bytes;
    struct physical *made;

    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!fd_identify(fd, &index, &bytes))
        return CUDA_ERROR_INVALID_VALUE;
    struct device *device = device_by_physical(index);
    if (index >= 0 && !device)
        return CUDA_ERROR_INVALID_DEVICE;
    CUresult result = physical_import(device, fd, 0, bytes, &made);
    if (result != CUDA_SUCCESS)
        return result;
    made->prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    *ret = (CUmemGenericAllocationHandle)made;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                             const CUmemAllocationProp *prop, unsigned long long flags)
{
    CALL(cuMemCreate, create(handle, size, prop, flags), "bytes=%zu\thandle=0x%llx", size,
         OUT(handle));
}

CUresult CUDAAPI cuMemRelease(CUmemGenericAllocationHandle handle)
{
    CALL(cuMemRelease, release(handle), "handle=0x%llx", handle);
}

CUresult CUDAAPI cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
    CALL(cuMemRetainAllocationHandle, retain_at(handle, addr), "ptr=0x%llx", HEX(addr));
}

CUresult CUDAAPI cuMemGetAllocationGranularity(size_t *granularity_out,
                                               const CUmemAllocationProp *prop,
                                               CUmemAllocationGranularity_flags option)
{
    CALL(cuMemGetAllocationGranularity, granularity(granularity_out, prop));
}

CUresult CUDAAPI cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
                                                        CUmemGenericAllocationHandle handle)
{
    CALL(cuMemGetAllocationPropertiesFromHandle, prop_get(prop, handle));
}

CUresult CUDAAPI cuMemExportToShareableHandle(void *shareableHandle,
                                              CUmemGenericAllocationHandle handle,
                                              CUmemAllocationHandleType handleType,
                                              unsigned long long flags)
{
    CALL(cuMemExportToShareableHandle, export_fd(shareableHandle, handle, handleType, flags),
         "handle=0x%llx", handle);
}

CUresult CUDAAPI cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle,
                                                void *osHandle,
                                                CUmemAllocationHandleType shHandleType)
{
    CALL(cuMemImportFromShareableHandle, import_fd(handle, osHandle, shHandleType), "handle=0x%llx",
         OUT(handle));
}
