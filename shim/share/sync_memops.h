/* SPDX-License-Identifier: MIT */
/*
 * CU_POINTER_ATTRIBUTE_SYNC_MEMOPS of memory that shares a driver allocation with other memory.
 *
 * The attribute belongs to a block and ends with it; the driver keeps one for the whole allocation.
 * So the allocation has it as long as a block in it has: operations on its neighbours are
 * synchronous, too, meanwhile, which is slower and otherwise the same. What a program reads is the
 * block's own. Of a block that lies on several mappings each has it.
 *
 * Threading: every function from any thread, outside the gate; one lock, held around the driver's
 * own setting so that it agrees with the count. The holder's hooks only forward.
 */
#ifndef SHIM_SHARE_SYNC_MEMOPS_H
#define SHIM_SHARE_SYNC_MEMOPS_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/share/ranges.h"
#include "shim/resolve/real.h"

/** Sets or clears it for a RANGE_BLOCK, by the real function; its result. */
CUresult sync_memops_set(const struct driver_functions *real, const struct range *range,
                         CUdeviceptr address, bool wanted);

/** A block that had it ended, or is about to; `stands`: its driver allocation is still there. */
void sync_memops_end(const struct range *range, bool stands);

/** Memory was mapped at [address, address + bytes), in place of other memory perhaps: it has what
 * is wanted there. Its context is current. Costs one load where nobody wants it. */
void sync_memops_mapped(uint64_t address, uint64_t bytes);

/** A context ended, and the allocations in it. */
void sync_memops_forget_context(uint32_t context);

/** In the child after fork: no allocation of its has the attribute. */
void sync_memops_fork_child(void);

#endif
