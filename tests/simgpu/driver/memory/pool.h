/* SPDX-License-Identifier: MIT */
/*
 * A memory pool and what its calls do with it.
 */
#ifndef SIMGPU_DRIVER_MEMORY_POOL_H
#define SIMGPU_DRIVER_MEMORY_POOL_H

#include "tests/simgpu/driver/base/observed.h"
#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/memory/memory.h"

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

/** An allocation that counts as used and lives until pool_free. */
CUresult pool_take(CUmemoryPool pool, size_t bytes, struct allocation **ret);
/** The free has been reached in its stream. */
void pool_free(struct allocation *allocation);
/** A synchronisation: give back what exceeds the thresholds. */
void pools_trim_at_sync(struct device *device);
/** The device is short of memory: give back all that is not in use. */
void pools_trim_all(struct device *device);
/** cuMemFree of a stream-ordered allocation, after the device is idle. */
void pool_free_now(struct allocation *allocation);

/** Reports an event of the pool itself to the observer. */
void pool_observe(enum observer_kind kind, CUmemoryPool pool, uint64_t keep_bytes);
void pool_describe(CUmemoryPool pool, struct observer_event *event);

#endif
