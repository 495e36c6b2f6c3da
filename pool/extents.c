/* SPDX-License-Identifier: MIT */
/*
 * The life of middle and large blocks: taken, live, quarantined, back among what is free.
 *
 * Blocks leave the quarantine lazily: some at each allocation, so that the work is spread and what
 * is free stays visible to best fit; all of them before the driver is asked for more.
 */
#include "pool/extents.h"

#include <errno.h>

#include "pool/device.h"
#include "pool/quarantine.h"
#include "pool/run_cache.h"
#include "pool/segment.h"

/* Blocks taken back per allocation: more than one, so that the list shrinks. */
#define RETIRE_PER_ALLOCATION 4u

/* EXTENTS_FIT_BUDGET: the waste of all reused runs together, as a share of what is live outside
 * slabs. Chosen by replay: a larger share lifts the peak of some traces above 1.10. */
#define WASTE_BUDGET_SHARE 64u

/* ---- middle ---- */

static struct block *block_create(struct pool *pool)
{
    struct block *block = pool->extents.unused_blocks;
    if (block != NULL) {
        pool->extents.unused_blocks = block->next;
        return block;
    }
    return metadata_allocate(METADATA_BLOCK, sizeof(*block), &pool->metadata_bytes);
}

static void block_destroy(struct pool *pool, struct block *block)
{
    block->state = BLOCK_UNUSED;
    block->next = pool->extents.unused_blocks;
    pool->extents.unused_blocks = block;
}

static struct block *middle_take(struct pool *pool, uint32_t leaves)
{
    struct block *block = block_create(pool);
    if (block == NULL)
        return NULL;
    uint32_t first_leaf;
    struct segment *segment = segment_leaves_take_locked(pool, leaves, &first_leaf);
    if (segment == NULL) {
        block_destroy(pool, block);
        return NULL;
    }
    block->address = segment->address + first_leaf * SIZE_LEAF_BYTES;
    block->leaves = (uint16_t)leaves;
    segment_window_set_locked(segment, block->address, block);
    return block;
}

static void middle_give(struct pool *pool, struct block *block)
{
    struct segment *segment = segment_of_page(block->address);
    uint64_t offset = block->address & (POOL_SEGMENT_BYTES - 1);
    segment_window_set_locked(segment, block->address, NULL);
    segment_leaves_give_locked(segment, (uint32_t)(offset / SIZE_LEAF_BYTES), block->leaves);
    block_destroy(pool, block);
}

/* ---- large ---- */

static uint64_t run_waste(const struct run *run)
{
    return run->bytes - extents_run_bytes(run->block.requested_bytes);
}

static bool run_fits(const struct pool *pool, const struct run *run, size_t wanted,
                     enum extents_fit fit)
{
    const struct extents *extents = &pool->extents;
    uint64_t waste = run->bytes - wanted;
    if (waste <= wanted / 100 * pool->config.large_waste_percent)
        return true;
    if (fit == EXTENTS_FIT_CLOSE || waste > wanted)
        return false;
    uint64_t budget = count_get(&extents->live_bytes) / WASTE_BUDGET_SHARE;
    return fit == EXTENTS_FIT_ANY || count_get(&extents->large_waste) + waste <= budget;
}

static struct block *large_take(struct pool *pool, size_t bytes, enum extents_fit fit)
{
    struct extents *extents = &pool->extents;
    size_t wanted = extents_run_bytes(bytes);
    if (extents->spare != NULL && extents->spare->bytes == wanted)
        segment_spare_release_locked(pool);
    struct run *run = run_cache_best_locked(extents, wanted);
    if (run == NULL || !run_fits(pool, run, wanted, fit))
        return NULL;

    run_cache_remove_locked(extents, run);
    run->use = RUN_LARGE;
    run->block.address = run->address;
    run->block.leaves = 0;
    run->block.requested_bytes = bytes;
    count_add(&extents->large_waste, run_waste(run));
    return &run->block;
}

static void run_doom(struct extents *extents, struct run *run)
{
    count_add(&extents->wasted_bytes, run->bytes);
    run->use = RUN_DOOMED;
    run->newer = extents->doomed;
    extents->doomed = run;
}

static void large_give(struct pool *pool, struct block *block)
{
    struct extents *extents = &pool->extents;
    struct run *run = pool_container_of(block, struct run, block);
    count_subtract(&extents->large_waste, run_waste(run));
    if (run->pinned) {
        run_doom(extents, run);
        return;
    }
    run->cached_since = count_get(&pool->fence_serves);
    run_cache_insert_locked(extents, run);
}

/* ---- both ---- */

static void block_give(struct pool *pool, struct block *block)
{
    block->state = BLOCK_FREED;
    if (block->leaves == 0)
        large_give(pool, block);
    else
        middle_give(pool, block);
}

struct block *extents_allocate_locked(struct pool *pool, size_t bytes, enum extents_fit fit)
{
    struct extents *extents = &pool->extents;
    if (extents->quarantine_head != NULL)
        extents_retire_locked(pool, RETIRE_PER_ALLOCATION);
    struct block *block = bytes <= SIZE_MIDDLE_MAX ? middle_take(pool, size_leaves(bytes))
                                                   : large_take(pool, bytes, fit);
    if (block == NULL)
        return NULL;
    block->state = BLOCK_LIVE;
    block->requested_bytes = bytes;
    block->free_site = 0;
    count_add(&extents->allocations, 1);
    count_add(&extents->live_bytes, block_bytes(block));
    return block;
}

static void quarantine_append(struct extents *extents, struct block *block, uint32_t label)
{
    block->state = BLOCK_QUARANTINED;
    block->epoch = label;
    block->next = NULL;
    if (extents->quarantine_head == NULL)
        extents->quarantine_head = block;
    else
        extents->quarantine_tail->next = block;
    extents->quarantine_tail = block;
    count_add(&extents->quarantined_bytes, block_bytes(block));
    count_add(&extents->open_bytes, block_bytes(block));
}

void extents_free_locked(struct pool *pool, struct block *block, uint32_t site)
{
    struct extents *extents = &pool->extents;
    count_add(&extents->frees, 1);
    count_subtract(&extents->live_bytes, block_bytes(block));
    block->free_site = site;
    bool at_once = pool->config.reuse == POOL_REUSE_IMMEDIATE;
    if (at_once && device_fill(pool, block->address, block_bytes(block), pool->config.scrub) == 0)
        block_give(pool, block);
    else
        quarantine_append(extents, block, quarantine_label(pool));
}

unsigned extents_retire_locked(struct pool *pool, unsigned limit)
{
    struct extents *extents = &pool->extents;
    uint32_t retired = quarantine_retired(pool);
    unsigned count = 0;
    for (; count < limit; count++) {
        struct block *block = extents->quarantine_head;
        if (block == NULL || !quarantine_passed(block->epoch, retired))
            break;
        size_t bytes = block_bytes(block);
        if (device_fill(pool, block->address, bytes, pool->config.scrub) < 0)
            break;
        extents->quarantine_head = block->next;
        count_subtract(&extents->quarantined_bytes, bytes);
        block_give(pool, block);
    }
    return count;
}

bool extents_surrender_locked(struct pool *pool)
{
    struct extents *extents = &pool->extents;
    struct block *before = NULL, *block = extents->quarantine_head;
    if (pool->config.scrub != POOL_FILL_NONE)
        return false;
    while (block != NULL && block->leaves != 0) {
        before = block;
        block = block->next;
    }
    if (block == NULL)
        return false;
    *(before != NULL ? &before->next : &extents->quarantine_head) = block->next;
    if (extents->quarantine_tail == block)
        extents->quarantine_tail = before;
    size_t bytes = block_bytes(block);
    count_subtract(&extents->quarantined_bytes, bytes);
    /* Else an epoch has counted it; that may say too much, as what it says is only a bound. */
    if (block->epoch == quarantine_label(pool))
        count_subtract(&extents->open_bytes, bytes);
    struct run *run = pool_container_of(block, struct run, block);
    block->state = BLOCK_FREED;
    count_subtract(&extents->large_waste, run_waste(run));
    run_doom(extents, run);
    return true;
}

bool extents_slab_place_locked(struct pool *pool, struct slab *slab, size_t bytes)
{
    uint32_t first_leaf;
    struct segment *segment = segment_leaves_take_locked(pool, size_leaves(bytes), &first_leaf);
    if (segment == NULL)
        return false;
    slab->base = segment->address + first_leaf * SIZE_LEAF_BYTES;
    slab->segment = segment;
    count_set(&segment_slot(segment, slab->base)->live, 0);
    for (size_t offset = 0; offset < bytes; offset += 1u << SEGMENT_SLOT_BITS)
        segment_slot_set(segment, slab->base + offset, slot_of_slab(slab));
    return true;
}

void extents_slab_remove_locked(struct slab *slab, size_t bytes)
{
    struct segment *segment = slab->segment;
    uint64_t first = slab->base & (POOL_SEGMENT_BYTES - 1);
    for (size_t offset = 0; offset < bytes; offset += 1u << SEGMENT_SLOT_BITS)
        segment_slot_set(segment, slab->base + offset, 0);
    segment_leaves_give_locked(segment, (uint32_t)(first / SIZE_LEAF_BYTES), size_leaves(bytes));
}

/* ---- finding ---- */

static struct block *middle_around(struct segment *segment, uint64_t address)
{
    /* A block of up to 2 MiB may begin many windows earlier; whatever begins in between ends the
     * search. */
    unsigned window = (unsigned)((address & (POOL_SEGMENT_BYTES - 1)) >> SEGMENT_WINDOW_BITS);
    for (int at = (int)window; at >= 0; at--) {
        if (segment_slot_get(segment, (uint64_t)at << SEGMENT_WINDOW_BITS) & SLOT_SLAB)
            return NULL;
        struct block *block = segment_window_get_locked(segment, (unsigned)at);
        if (block != NULL && block->address <= address)
            return address - block->address < block_bytes(block) ? block : NULL;
    }
    return NULL;
}

struct block *extents_block_around_locked(uint64_t address, page_entry entry)
{
    if (page_map_get(address) != entry || entry == 0)
        return NULL;
    if (!(entry & PAGE_ENTRY_RUN))
        return middle_around((struct segment *)entry, address);
    struct run *run = (struct run *)(entry & ~PAGE_ENTRY_RUN);
    return run->block.state == BLOCK_UNUSED ? NULL : &run->block;
}

int extents_block_at_locked(uint64_t address, page_entry entry, struct block **ret_block)
{
    if (page_map_get(address) != entry)
        return -ENOENT;
    struct block *block = extents_block_around_locked(address, entry);
    if (block == NULL || block->address != address)
        return -EINVAL;
    *ret_block = block;
    return 0;
}

void extents_block_describe_locked(struct block *block, struct pool_block *ret_block)
{
    const struct run *run = block_run(block);
    *ret_block = (struct pool_block){
        .address = block->address,
        .requested_bytes = block->requested_bytes,
        .allocated_bytes = block_bytes(block),
        .segment_address = run->address,
        .segment_bytes = run->bytes,
        .allocation_site = block->site,
        .free_site = block->state == BLOCK_LIVE ? 0 : block->free_site,
        .live = block->state == BLOCK_LIVE,
    };
}
