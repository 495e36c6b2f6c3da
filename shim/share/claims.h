/* SPDX-License-Identifier: MIT */
/*
 * Pooled blocks that need work before their free: they were exported, or memory operations on them
 * were made synchronous.
 *
 * A claim is a mark that the pool keeps with the block (pool_block_mark), so it always ends with
 * the block. A free tests one counter while nothing is claimed, and otherwise the marks of its own
 * block.
 *
 * Threading: every function from any thread, outside the gate.
 */
#ifndef SHIM_SHARE_CLAIMS_H
#define SHIM_SHARE_CLAIMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cupti/base/likely.h"

enum claim {
    CLAIM_EXPORTED = 1,    /* shim/share/ipc_board.h */
    CLAIM_SYNCHRONOUS = 2, /* shim/share/sync_memops.h */
};

extern atomic_uint claims_count;
void claims_end_slow(uint64_t address);

/** Claims the live block around an address. False when there is none, or it is claimed already. */
bool claim_add(uint64_t address, enum claim claim);

/** Undoes claim_add. False when the block is not claimed. */
bool claim_drop(uint64_t address, enum claim claim);

/** True while the live block around an address has this claim. */
bool claim_stands(uint64_t address, enum claim claim);

/** Subtracts claims that ended with their context. */
void claims_forget(unsigned count);

/** In the child after fork: it has no blocks. */
void claims_fork_child(void);

/** Undoes the claims of the block that begins at an address, before it is freed. */
static inline void claims_end(uint64_t address)
{
    if (unlikely(atomic_load_explicit(&claims_count, memory_order_relaxed)))
        claims_end_slow(address);
}

#endif
