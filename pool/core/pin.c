/* SPDX-License-Identifier: MIT */
/*
 * Pinning, for memory that another process opens: the driver allocation around a live block gets no
 * new blocks, and goes back to the driver as a whole once its last block is freed.
 */
#include "pool/pool.h"

#include <errno.h>

#include "pool/backing/mapped.h"
#include "pool/heap/bin.h"
#include "pool/heap/device.h"
#include "pool/heap/extents.h"
#include "pool/heap/segment.h"
#include "pool/heap/shard.h"

static void segment_slabs_pin(page_entry entry)
{
    struct segment *segment = (struct segment *)entry;

    if (entry == 0 || entry & PAGE_ENTRY_RUN) /* its last block has been freed meanwhile */
        return;
    for (unsigned index = 0; index < SEGMENT_SLOTS; index++) {
        uint64_t address = segment->address + ((uint64_t)index << SEGMENT_SLOT_BITS);
        slot_entry slot = segment_slot_get(segment, address);
        struct bin *bin = slot & SLOT_SLAB ? slab_bin_lock(segment, slot, address) : NULL;

        if (!bin)
            continue;
        bin_slab_pin_locked(bin, slot_slab(slot));
        pool_lock_release(&bin->lock);
    }
}

/* Finds a live block of the driver allocation that begins at an address. Rarely called, so it
 * checks every place where a block may begin rather than maintaining a count. */
static bool live_block_find(uint64_t base, uint64_t *ret_address)
{
    struct pool_block block;
    page_entry entry = page_map_get(base);

    if (entry & PAGE_ENTRY_RUN && ((struct run *)(entry & ~PAGE_ENTRY_RUN))->use == RUN_RANGE)
        return false; /* each block is an allocation */
    for (uint64_t offset = 0; offset < SEGMENT_CUT_PRESSED_MAX; offset += SIZE_UNIT_BYTES) {
        if (page_map_get(base + offset) == 0)
            return false;
        if (pool_find(base + offset, &block, NULL) < 0 || !block.live)
            continue;
        *ret_address = block.address;
        return block.segment_address == base;
    }
    return false;
}

/* Takes the handles below the block, or the segment, out of service. */
static int extent_pin_locked(struct pool *pool, uint64_t address)
{
    struct extent *extent = range_find(pool->runs.range, address);

    return extent ? mapped_pin_locked(pool->mapped, extent) : -EINVAL;
}

/* Does the same for the segment that holds a live block; its extents lock is held. */
static int segment_pin_locked(struct pool *pool, struct run *run)
{
    if (!pool->mapped)
        return 0;
    pool_lock_acquire(&pool->runs.blocks.lock);
    int error = extent_pin_locked(pool, run->address);
    pool_lock_release(&pool->runs.blocks.lock);
    return error;
}

int pool_pin_segment(uint64_t address)
{
    struct pool_block block;
    struct pool *pool;
    uint64_t neighbour;
    int error = pool_find(address, &block, &pool);

    if (error < 0 && page_map_get(address) == 0)
        return -ENOENT;
    if (error < 0 || !block.live)
        return live_block_find(address, &neighbour) ? pool_pin_segment(neighbour) : -EINVAL;

    device_request_note(pool, POOL_REQUEST_PIN, block.address, 0);
    /* The block is live, so its run stays; no slab is placed in it once its segments are
     * unlisted.
     */
    pool_lock_acquire(&pool->backend_lock);
    page_entry entry = page_map_get(address);
    struct blocks *blocks = entry == 0 ? NULL : blocks_lock(address, entry);
    if (!blocks) { /* it is being freed meanwhile */
        pool_lock_release(&pool->backend_lock);
        return -EINVAL;
    }
    bool cut = !(entry & PAGE_ENTRY_RUN);
    struct segment *segment = (struct segment *)entry;
    struct run *run = cut ? segment->run : (struct run *)(entry & ~PAGE_ENTRY_RUN);
    bool fresh = !run->pinned;
    if (run->use == RUN_RANGE)
        error = extent_pin_locked(pool, address);
    else if (fresh && cut)
        error = segment_pin_locked(pool, run);
    if (error == 0 && fresh && cut)
        segment_run_pin_locked(segment->shard, run);
    fresh = fresh && error == 0;
    run->pinned = run->pinned || (error == 0 && run->use != RUN_RANGE);
    pool_lock_release(&blocks->lock);
    for (size_t offset = 0; fresh && cut && offset < run->bytes; offset += POOL_SEGMENT_BYTES)
        segment_slabs_pin(page_map_get(run->address + offset));
    pool_lock_release(&pool->backend_lock);
    return error;
}
