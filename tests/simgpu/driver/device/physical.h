/* SPDX-License-Identifier: MIT */
/*
 * Physical memory of the device, in multiples of 2 MiB, bounded by its capacity. It is a stretch
 * of a memfd: of the device's, which is sparse and never ends, or, when it may be exported, of one
 * of its own. Nothing is committed before it is touched; released memory is returned by punching
 * a hole. Reference counts as cuda.h has them: a mapping keeps memory alive after its release.
 */
#ifndef SIMGPU_DRIVER_DEVICE_PHYSICAL_H
#define SIMGPU_DRIVER_DEVICE_PHYSICAL_H

#include "tests/simgpu/driver/base/driver.h"

struct device;

/** What CUmemGenericAllocationHandle points at. */
struct physical {
    struct handle handle;
    struct device *device; /* NULL: host memory, or managed */
    bool counted;          /* against the device's capacity; not what another process pays for */
    int fd;
    bool owns_fd;
    uint64_t offset;
    size_t bytes;
    unsigned handles;          /* references of the program: cuMemCreate, import, retain */
    unsigned mappings;         /* and of mappings */
    unsigned imports;          /* and of memory that is this one, imported in the same process */
    struct physical *origin;   /* of such memory; NULL: of its own, or another process's */
    bool listed;               /* among those with a file of their own */
    LIST_ENTRY(physical) link; /* in that list */
    CUmemAllocationProp prop;
};

/** With one handle. `own_fd`: in a separate file, which can be exported. */
CUresult physical_create(struct device *device, size_t bytes, bool own_fd, struct physical **ret);
/** What another process, or this one, exported; `fd` is duplicated. */
CUresult physical_import(struct device *device, int fd, uint64_t offset, size_t bytes,
                         struct physical **ret);

/** Call after lowering a count: frees when both are zero. */
void physical_check(struct physical *physical);

/** Lay it over addresses that va_take gave, counting a mapping. */
CUresult physical_map(struct physical *physical, uintptr_t address, size_t offset, size_t bytes,
                      int protection);
/** Take `bytes` from there away again; drops the mapping's reference. */
void physical_unmap(struct physical *physical, uintptr_t address, size_t bytes);

#endif
