/* SPDX-License-Identifier: MIT */
/*
 * The devices that the program sees. Fields are guarded by driver_lock; the array and what comes
 * from the profile are immutable after cuInit.
 */
#ifndef SIMGPU_DRIVER_DEVICE_DEVICE_H
#define SIMGPU_DRIVER_DEVICE_DEVICE_H

#include "tests/simgpu/driver/base/driver.h"

struct device {
    int ordinal;       /* as the program numbers it */
    unsigned physical; /* as the machine does: CUDA_VISIBLE_DEVICES maps one to the other */
    size_t capacity;
    size_t used; /* by physical memory and contexts */
    int memory_fd;
    uint64_t memory_next;
    CUcontext primary; /* the same handle for the life of the process */
    unsigned primary_refs;
    unsigned primary_flags;
    uint64_t graph_used_high, graph_reserved_high; /* memory of graphs */
    CUmemoryPool pool_default;
    CUmemoryPool pool_current;
    CUmemoryPool pool_graph; /* what graph allocation nodes use, for its attributes */
};

CUresult devices_open(void);
int device_count(void);

/** NULL if there is no such device. No lock. */
struct device *device_get(CUdevice device);

CUuuid device_uuid(const struct device *device);
/** Of every device of the machine; it says that it is simulated. */
void device_name(char *ret, size_t bytes);

#endif
