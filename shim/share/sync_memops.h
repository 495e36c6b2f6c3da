/* SPDX-License-Identifier: MIT */
/*
 * CU_POINTER_ATTRIBUTE_SYNC_MEMOPS of memory that shares a driver allocation with other memory.
 *
 * The attribute belongs to a block and ends with it, but the driver keeps one for the whole
 * allocation. So the allocation has it as long as any block in it does. Operations on the
 * neighbours are then synchronous, too: slower, but otherwise the same. A program reads the block's
 * own value. A block on several mappings sets it on each of them.
 *
 * Threading: every function from any thread, outside the gate; one lock, held around the driver's
 * own setting so that it agrees with the count. While a thread holds it, its hooks only forward.
 */
#ifndef SHIM_SHARE_SYNC_MEMOPS_H
#define SHIM_SHARE_SYNC_MEMOPS_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/share/ranges.h"
#include "shim/resolve/real.h"

/** Sets or clears it for a RANGE_BLOCK, by the real function; returns the driver's result. */
CUresult sync_memops_set(const struct driver_functions *real, const struct address_range *range,
                         CUdeviceptr address, bool wanted);

/** Clears it for a block that has ended, or is about to; `stands`: its driver allocation still
 * exists. */
void sync_memops_end(const struct address_range *range, bool stands);

/** Memory was mapped at [address, address + bytes), possibly in place of other memory: applies
 * the attribute as wanted there. Its context is current. Costs one load where nobody wants it. */
void sync_memops_mapped(uint64_t address, uint64_t bytes);

/** A context ended, and the allocations in it. */
void sync_memops_forget_context(uint32_t context);

/** In the child after fork: none of its allocations has the attribute. */
void sync_memops_fork_child(void);

#endif
