/* SPDX-License-Identifier: MIT */
/*
 * The marks of claimed blocks, and their count. See claims.h.
 */
#include "shim/share/claims.h"

#include "cupti/base/uncancelled.h"
#include "shim/memory/guarded.h"
#include "shim/context/gate.h"
#include "shim/memory/vmm.h"
#include "shim/share/ipc_board.h"
#include "shim/share/sync_memops.h"

atomic_uint claims_count;

static bool mark(uint64_t address, uint8_t set, uint8_t clear)
{
    uint8_t before = clear;

    gate_enter();
    int error = pool_block_mark(address, set, clear, &before);
    gate_leave();
    return error == 0 && (set ? !(before & set) : before & clear);
}

bool claim_add(uint64_t address, enum claim claim)
{
    atomic_fetch_add(&claims_count, 1);
    if (mark(address, (uint8_t)claim, 0))
        return true;
    atomic_fetch_sub(&claims_count, 1);
    return false;
}

bool claim_drop(uint64_t address, enum claim claim)
{
    if (!mark(address, 0, (uint8_t)claim))
        return false;
    atomic_fetch_sub(&claims_count, 1);
    return true;
}

/* Returns the live block around an address; marks 0 when there is none. */
static struct pool_block block_of(uint64_t address)
{
    struct pool_block block = {0};

    gate_enter();
    int error = guarded_range_get(address, &block);
    gate_leave();
    return error == 0 ? block : (struct pool_block){0};
}

bool claim_stands(uint64_t address, enum claim claim)
{
    return block_of(address).marks & claim;
}

void claims_forget(unsigned count)
{
    atomic_fetch_sub(&claims_count, count);
}

void claims_fork_child(void)
{
    atomic_store(&claims_count, 0);
}

static void synchronous_end(const struct pool_block *block)
{
    struct address_range range = {
        .kind = RANGE_BLOCK,
        .base = block->address,
        .bytes = block->requested_bytes,
        .allocation = block->segment_address,
    };
    uint64_t bytes;

    range.mapped = vmm_mapping_at(block->address, &range.allocation, &bytes);
    sync_memops_end(&range, true);
}

void claims_end_slow(uint64_t address)
{
    UNCANCELLED;
    struct pool_block block = block_of(address);

    if (block.address != address) /* nothing that could be freed */
        return;
    if (block.marks & CLAIM_EXPORTED && claim_drop(address, CLAIM_EXPORTED))
        ipc_board_withdraw(address);
    if (block.marks & CLAIM_SYNCHRONOUS && claim_drop(address, CLAIM_SYNCHRONOUS))
        synchronous_end(&block);
}
