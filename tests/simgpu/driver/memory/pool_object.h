/* SPDX-License-Identifier: MIT */
/*
 * A memory pool and what its calls do with it.
 */
#ifndef SIMGPU_DRIVER_MEMORY_POOL_OBJECT_H
#define SIMGPU_DRIVER_MEMORY_POOL_OBJECT_H

#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/memory/memory.h"
#include "tests/simgpu/driver/base/profile.h"

struct CUmemPoolHandle_st {
    struct handle handle;
    LIST_ENTRY(CUmemPoolHandle_st) link;
    struct device *device; /* NULL: the memory of the host */
    struct arena arena;
    struct allocation_list cached;
    size_t large_bytes;
    uint64_t used, used_high, reserved_high;
    uint64_t threshold;
    unsigned live;
    bool destroyed;
    int reuse[3]; /* the three reuse policies; kept, without effect */
    CUmemAccess_flags access[PROFILE_DEVICES];
};

/** `device` NULL: of the host's memory. */
CUresult pool_create(struct device *device, CUmemoryPool *ret);
/** Goes when its last allocation does. */
void pool_destroy(CUmemoryPool pool);
CUresult pool_default(struct device *device, CUmemoryPool *ret);
CUresult pool_current(struct device *device, CUmemoryPool *ret);
void pool_trim(CUmemoryPool pool, uint64_t keep_bytes);
uint64_t pool_reserved(CUmemoryPool pool);

#endif
