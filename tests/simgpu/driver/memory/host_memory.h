/* SPDX-License-Identifier: MIT */
/*
 * Pinned host memory: allocated here, or the program's own and registered.
 */
#ifndef SIMGPU_DRIVER_MEMORY_HOST_MEMORY_H
#define SIMGPU_DRIVER_MEMORY_HOST_MEMORY_H

#include "tests/simgpu/driver/memory/memory.h"

CUresult host_memory_add(struct memory_owner owner, enum memory_kind kind, void *base, size_t bytes,
                         unsigned flags);
bool host_memory_overlaps(uintptr_t base, size_t bytes);
/** The pinned range around an address, or NULL. */
struct allocation *host_memory_find(uintptr_t address);
/** Free or unregister. */
void host_memory_give(struct allocation *allocation);

#endif
