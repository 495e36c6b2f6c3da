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

/** What a device may do with a mapping. */
CUmemAccess_flags mapping_access(const struct allocation *mapping, unsigned ordinal);

#endif
