/* SPDX-License-Identifier: MIT */
/*
 * Virtual memory management: reservations, and mappings of physical memory in them.
 */
#ifndef SIMGPU_DRIVER_MEMORY_VMM_H
#define SIMGPU_DRIVER_MEMORY_VMM_H

#include "tests/simgpu/driver/memory/memory.h"

struct reservation {
    LIST_ENTRY(reservation) link;
    uintptr_t base;
    size_t bytes;
};

/** Access rights of a device to a mapping. */
CUmemAccess_flags mapping_access(const struct allocation *mapping, unsigned ordinal);

/** The calls of the same names, once nothing has to be waited for. */
CUresult vmm_reserve(CUdeviceptr *ret, size_t bytes, size_t align, CUdeviceptr wanted,
                     unsigned long long flags);
CUresult vmm_unreserve(CUdeviceptr address, size_t bytes);
CUresult vmm_map(CUdeviceptr address, size_t bytes, size_t offset,
                 CUmemGenericAllocationHandle handle, unsigned long long flags);
CUresult vmm_unmap(CUdeviceptr address, size_t bytes);
CUresult vmm_access_set(CUdeviceptr address, size_t bytes, const CUmemAccessDesc *desc,
                        size_t count);
CUresult vmm_access_get(unsigned long long *ret, const CUmemLocation *location,
                        CUdeviceptr address);

/** Is the range one that the call takes? */
bool vmm_may_unmap(CUdeviceptr address, size_t bytes);
bool vmm_may_set_access(CUdeviceptr address, size_t bytes);

#endif
