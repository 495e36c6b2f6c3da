/* SPDX-License-Identifier: MIT */
/*
 * cuMemAddressReserve to cuMemUnmap: their waits and errors. None needs a context. cuda.h calls
 * mapping "synchronous for most use cases" and leaves open what that waits for: the profile key
 * map_waits makes them wait for all work of the device.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/memory/vmm.h"
#include "tests/simgpu/driver/work/edit.h"
#include "tests/simgpu/driver/work/stream.h"

static CUresult supported(void)
{
    return profile.vmm ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

/* The device is that of the memory. Waiting lets go of the lock. */
static void wait_for_work(enum call_id id, struct device *device)
{
    if (!device || !device_is_busy(device))
        return;
    call_add_ns(thread_self(), profile.cost[id].busy_ns);
    if (profile.map_waits)
        device_wait(device);
}

static void wait_for_mapping(enum call_id id, CUdeviceptr address)
{
    struct allocation *found = memory_find(address);

    if (found && found->kind == MEMORY_MAPPED)
        wait_for_work(id, found->device);
}

static CUresult reserve_addresses(CUdeviceptr *ret, size_t bytes, size_t align, CUdeviceptr wanted,
                                  unsigned long long flags)
{
    CUresult result = supported();

    return result == CUDA_SUCCESS ? vmm_reserve(ret, bytes, align, wanted, flags) : result;
}

static CUresult map_handle(CUdeviceptr address, size_t bytes, size_t offset,
                           CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    struct physical *physical = (struct physical *)handle;

    if (handle_is(physical, HANDLE_PHYSICAL))
        wait_for_work(CALL_cuMemMap, physical->device);
    return vmm_map(address, bytes, offset, handle, flags);
}

static CUresult unmap_range(CUdeviceptr address, size_t bytes)
{
    if (vmm_may_unmap(address, bytes)) {
        wait_for_mapping(CALL_cuMemUnmap, address);
        edit_check(CALL_cuMemUnmap, address, bytes);
    }
    return vmm_unmap(address, bytes);
}

static bool takes_access(const CUmemAccessDesc *desc, size_t count)
{
    for (size_t i = 0; desc && i < count; i++)
        if (desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
            return true;
    return false;
}

static CUresult set_access(CUdeviceptr address, size_t bytes, const CUmemAccessDesc *desc,
                           size_t count)
{
    if (vmm_may_set_access(address, bytes)) {
        wait_for_mapping(CALL_cuMemSetAccess, address);
        if (takes_access(desc, count))
            edit_check(CALL_cuMemSetAccess, address, bytes);
    }
    return vmm_access_set(address, bytes, desc, count);
}

CUresult CUDAAPI cuMemAddressReserve(CUdeviceptr *ptr, size_t size, size_t alignment,
                                     CUdeviceptr addr, unsigned long long flags)
{
    CALL(cuMemAddressReserve, reserve_addresses(ptr, size, alignment, addr, flags),
         "bytes=%zu\tptr=0x%llx", size, OUT(ptr));
}

CUresult CUDAAPI cuMemAddressFree(CUdeviceptr ptr, size_t size)
{
    CALL(cuMemAddressFree, vmm_unreserve(ptr, size), "bytes=%zu\tptr=0x%llx", size, ptr);
}

CUresult CUDAAPI cuMemMap(CUdeviceptr ptr, size_t size, size_t offset,
                          CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    CALL(cuMemMap, map_handle(ptr, size, offset, handle, flags),
         "bytes=%zu\tptr=0x%llx\toffset=%zu\thandle=0x%llx", size, ptr, offset, handle);
}

CUresult CUDAAPI cuMemUnmap(CUdeviceptr ptr, size_t size)
{
    CALL(cuMemUnmap, unmap_range(ptr, size), "bytes=%zu\tptr=0x%llx", size, ptr);
}

CUresult CUDAAPI cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc,
                                size_t count)
{
    CALL(cuMemSetAccess, set_access(ptr, size, desc, count), "bytes=%zu\tptr=0x%llx", size, ptr);
}

CUresult CUDAAPI cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location,
                                CUdeviceptr ptr)
{
    CALL(cuMemGetAccess, vmm_access_get(flags, location, ptr), "ptr=0x%llx", ptr);
}
