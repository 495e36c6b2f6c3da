/* SPDX-License-Identifier: MIT */
/*
 * The life of middle and large blocks: allocated, live, quarantined, free again.
 *
 * Blocks leave the quarantine lazily: some at each allocation, so that the work is spread and free
 * memory stays visible to best fit; all of them before the driver is asked for more.
 */
#include "pool/heap/extents.h"

#include "pool/heap/device.h"
#include "pool/heap/quarantine.h"
#include "pool/heap/run_cache.h"
#include "pool/heap/segment.h"
#include "pool/heap/shard.h"

/* Blocks retired per allocation: more than one, so that the list shrinks. */
#define RETIRE_PER_ALLOCATION 4u

/* EXTENTS_FIT_BUDGET: the waste of all reused runs together, as a fraction of the live bytes
 * outside slabs. Chosen by replay: a larger fraction lifts the peak of some traces above 1.10. */
#define WASTE_BUDGET_SHARE 64u

/* ---- middle ---- */

static struct block *block_create(struct shard *shard)
{
    struct block *block = shard->extents.unused_blocks;

    if (block) {
        shard->extents.unused_blocks = block->next;
        return block;
    }
    return metadata_allocate(METADATA_BLOCK, sizeof(*block), &shard->pool->metadata_bytes);
}

static void block_destroy(struct shard *shard, struct block *block)
{
    block->state = BLOCK_UNUSED;
    block->next = shard->extents.unused_blocks;
    shard->extents.unused_blocks = block;
}

static struct block *middle_take(struct shard *shard, uint32_t leaves)
{
    struct block *block = block_create(shard);

    if (!block)
        return NULL;
    uint32_t first_leaf;
    struct segment *segment = segment_leaves_take_locked(shard, leaves, &first_leaf);
    if (!segment && runs_are_short(shard->pool)) /* any free leaves before more memory */
        segment = segment_leaves_squeeze_locked(shard, leaves, &first_leaf);
    if (!segment) {
        block_destroy(shard, block);
        return NULL;
    }
    block->address = segment->address + first_leaf * SIZE_LEAF_BYTES;
    block->leaves = (uint16_t)leaves;
    segment_window_set_locked(segment, block->address, block);
    return block;
}

static void middle_give(struct block *block)
{
    struct segment *segment = segment_of_page(block->address);
    struct shard *shard = segment->shard; /* the segment may be gone with its last block */
    uint64_t offset = block->address & (POOL_SEGMENT_BYTES - 1);

    segment_window_set_locked(segment, block->address, NULL);
    segment_leaves_give_locked(segment, (uint32_t)(offset / SIZE_LEAF_BYTES), block->leaves);
    block_destroy(shard, block);
}

/* ---- large ---- */

static uint64_t run_waste(const struct run *run)
{
    return run->bytes - extents_run_bytes(run->block.requested_bytes);
}

/* Live bytes outside slabs. */
static uint64_t blocks_live_bytes(const struct pool *pool)
{
    uint64_t bytes = count_get(&pool->runs.blocks.live_bytes);

    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        const struct shard *shard = shard_get(pool, index);

        bytes += !shard ? 0 : count_get(&shard->extents.blocks.live_bytes);
    }
    return bytes;
}

static bool run_fits(const struct pool *pool, const struct run *run, size_t wanted,
                     enum extents_fit fit)
{
    uint64_t waste = run->bytes - wanted;

    if (waste == 0 || fit == EXTENTS_FIT_WHOLE)
        return true;
    if (fit < EXTENTS_FIT_ANY && runs_are_short(pool))
        return false;
    if (waste <= wanted / 100 * pool->config.large_waste_percent)
        return true;
    if (fit == EXTENTS_FIT_CLOSE || waste > wanted)
        return false;
    if (fit == EXTENTS_FIT_ANY)
        return true;
    uint64_t budget = blocks_live_bytes(pool) / WASTE_BUDGET_SHARE;
    return count_get(&pool->runs.large_waste) + waste <= budget;
}

static struct block *large_take(struct pool *pool, size_t bytes, enum extents_fit fit)
{
    struct runs *runs = &pool->runs;
    size_t wanted = extents_run_bytes(bytes);
    struct run *run = run_cache_best_locked(runs, wanted);

    if (!run || !run_fits(pool, run, wanted, fit))
        return NULL;

    run_cache_remove_locked(runs, run);
    run->use = RUN_LARGE;
    run->block.address = run->address;
    run->block.leaves = BLOCK_IS_RUN;
    run->block.requested_bytes = bytes;
    count_add(&runs->large_waste, run_waste(run));
    return &run->block;
}

static void large_give(struct pool *pool, struct block *block)
{
    struct runs *runs = &pool->runs;
    struct run *run = pool_container_of(block, struct run, block);

    count_subtract(&runs->large_waste, run_waste(run));
    if (run->pinned) {
        run_cache_doom_locked(runs, run);
        return;
    }
    run->cached_since = count_get(&pool->fence_serves);
    run_cache_insert_locked(runs, run);
}

/* ---- in the mapped range ---- */

static struct block *extent_occupy(struct extent *extent)
{
    struct block *block = extent_block(extent);

    extent->occupied = true;
    block->address = extent->node.address;
    block->leaves = BLOCK_IS_EXTENT;
    return block;
}

static void small_count(struct pool *pool, size_t bytes, uint64_t change)
{
    if (bytes <= SIZE_SMALL_MAX)
        count_add(&pool->runs.small_extents[size_class_of(&pool->classes, bytes)], change);
}

static struct block *range_block_take(struct pool *pool, size_t bytes, enum extents_fit fit)
{
    struct range *range = pool->runs.range;
    size_t wanted = pool_round_up(bytes, RANGE_GRAIN_BYTES);
    struct extent *extent = range_take(range, wanted);

    if (!extent && fit >= EXTENTS_FIT_ANY)
        extent = range_take_anywhere(range, wanted);
    if (!extent)
        return NULL;
    small_count(pool, bytes, 1);
    return extent_occupy(extent);
}

static void range_block_give(struct pool *pool, struct block *block)
{
    struct range *range = pool->runs.range;
    struct extent *extent = block_extent(block);

    extent->occupied = false;
    if (extent->isolated) {
        count_subtract(&pool->runs.isolated_waste, extent->node.bytes - block->requested_bytes);
        range_leave(range, extent);
        return;
    }
    small_count(pool, block->requested_bytes, (uint64_t)-1);
    range_settle(range, extent, extent->exported ? EXTENT_SPENT : EXTENT_FREE);
}

/* Returns the block that an extent holds, or held last if nothing has replaced it. */
static struct block *range_block_around(const struct range *range, uint64_t address)
{
    struct extent *extent = range_at(range, address);
    struct block *block = extent_block(extent);

    if (extent->occupied)
        return block;
    bool kept = extent->isolated ||
                (extent->use == EXTENT_FREE && block->address == extent->node.address);
    bool known = kept && block->state == BLOCK_FREED &&
                 address - block->address < block->requested_bytes;
    return known ? block : NULL;
}

/* ---- all ---- */

static void block_give(struct pool *pool, struct block *block)
{
    block->state = BLOCK_FREED;
    if (block->leaves == BLOCK_IS_RUN)
        large_give(pool, block);
    else if (block->leaves == BLOCK_IS_EXTENT)
        range_block_give(pool, block);
    else
        middle_give(block);
}

static bool block_hand_out(struct blocks *blocks, struct block *block, size_t bytes, uint32_t site,
                           struct pool_block *ret_block)
{
    if (unlikely(!block))
        return false;
    block->state = BLOCK_LIVE;
    block->requested_bytes = bytes;
    block->site = site;
    block->free_site = 0;
    block->marks = 0;
    block->id = 0;
    count_add(&blocks->allocations, 1);
    count_add(&blocks->live_bytes, block_bytes(block));
    block_describe_locked(block, ret_block);
    return true;
}

bool extents_allocate_locked(struct shard *shard, size_t bytes, uint32_t site,
                             struct pool_block *ret_block)
{
    struct blocks *blocks = &shard->extents.blocks;

    if (blocks->quarantine_head)
        blocks_retire_locked(shard->pool, blocks, RETIRE_PER_ALLOCATION);
    struct block *block = middle_take(shard, size_leaves(bytes));
    return block_hand_out(blocks, block, bytes, site, ret_block);
}

bool runs_allocate_locked(struct pool *pool, size_t bytes, enum extents_fit fit, uint32_t site,
                          struct pool_block *ret_block)
{
    struct blocks *blocks = &pool->runs.blocks;

    if (blocks->quarantine_head)
        blocks_retire_locked(pool, blocks, RETIRE_PER_ALLOCATION);
    struct block *block = pool->runs.range ? range_block_take(pool, bytes, fit)
                                           : large_take(pool, bytes, fit);
    return block_hand_out(blocks, block, bytes, site, ret_block);
}

void runs_adopt_locked(struct pool *pool, struct extent *extent, size_t bytes, uint32_t site,
                       struct pool_block *ret_block)
{
    small_count(pool, bytes, 1);
    block_hand_out(&pool->runs.blocks, extent_occupy(extent), bytes, site, ret_block);
}

void runs_adopt_isolated_locked(struct pool *pool, struct extent *extent, size_t bytes,
                                uint32_t site, struct pool_block *ret_block)
{
    struct block *block = extent_occupy(extent);

    block->address = extent_end(extent) - pool_round_up(bytes, POOL_ISOLATED_ALIGNMENT);
    count_add(&pool->runs.isolated_waste, extent->node.bytes - bytes);
    block_hand_out(&pool->runs.blocks, block, bytes, site, ret_block);
}

static void quarantine_append(struct blocks *blocks, struct block *block, uint32_t label)
{
    block->state = BLOCK_QUARANTINED;
    block->epoch = label;
    block->next = NULL;
    if (!blocks->quarantine_head)
        blocks->quarantine_head = block;
    else
        blocks->quarantine_tail->next = block;
    blocks->quarantine_tail = block;
    count_add(&blocks->quarantined_bytes, block_bytes(block));
    count_add(&blocks->open_bytes, block_bytes(block));
}

void blocks_free_locked(struct pool *pool, struct blocks *blocks, struct block *block,
                        uint32_t site)
{
    count_add(&blocks->frees, 1);
    count_subtract(&blocks->live_bytes, block_bytes(block));
    block->free_site = site;
    /* The memory of an isolated block goes away, so it must wait for all work in any case. */
    bool at_once = pool->config.reuse == POOL_REUSE_IMMEDIATE && !block_isolated(block);
    if (at_once)
        block_give(pool, block);
    else
        quarantine_append(blocks, block, quarantine_label(pool));
}

unsigned blocks_retire_locked(struct pool *pool, struct blocks *blocks, unsigned limit)
{
    uint32_t retired = quarantine_retired(pool);
    unsigned count = 0;

    for (; count < limit; count++) {
        struct block *block = blocks->quarantine_head;

        if (!block || !quarantine_passed(block->epoch, retired))
            break;
        size_t bytes = block_bytes(block);
        if (!block_isolated(block) &&
            device_fill(pool, block->address, bytes, pool->config.scrub) < 0)
            break;
        blocks->quarantine_head = block->next;
        count_subtract(&blocks->quarantined_bytes, bytes);
        block_give(pool, block);
    }
    return count;
}

struct run *runs_surrender_locked(struct pool *pool)
{
    struct blocks *blocks = &pool->runs.blocks;
    struct block *block = blocks->quarantine_head;

    if (pool->config.scrub != POOL_FILL_NONE || !block || pool->runs.range)
        return NULL;
    blocks->quarantine_head = block->next;
    size_t bytes = block_bytes(block);
    count_subtract(&blocks->quarantined_bytes, bytes);
    /* Otherwise an epoch has counted it; that may be too much, but it is only an upper bound. */
    if (block->epoch == quarantine_label(pool))
        count_subtract(&blocks->open_bytes, bytes);
    struct run *run = pool_container_of(block, struct run, block);
    block->state = BLOCK_FREED;
    count_subtract(&pool->runs.large_waste, run_waste(run));
    run->use = RUN_DOOMED;
    count_add(&pool->runs.wasted_bytes, run->bytes);
    return run;
}

/* ---- slabs ---- */

bool extents_slab_place_locked(struct shard *shard, struct slab *slab, size_t bytes)
{
    uint32_t first_leaf;
    struct segment *segment = segment_leaves_take_locked(shard, size_leaves(bytes), &first_leaf);

    if (!segment)
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

static struct blocks *blocks_of_entry(page_entry entry)
{
    if (entry & PAGE_ENTRY_RUN)
        return &((struct run *)(entry & ~PAGE_ENTRY_RUN))->pool->runs.blocks;
    struct segment *segment = (struct segment *)entry;
    return &atomic_load_explicit(&segment->shard, memory_order_acquire)->extents.blocks;
}

struct blocks *blocks_lock(uint64_t address, page_entry entry)
{
    struct blocks *blocks = blocks_of_entry(entry);

    pool_lock_acquire(&blocks->lock);
    /* The target of the entry may have become the same address in another shard or pool. */
    if (page_map_get(address) == entry && blocks_of_entry(entry) == blocks)
        return blocks;
    pool_lock_release(&blocks->lock);
    return NULL;
}

static struct block *middle_around(struct segment *segment, uint64_t address)
{
    /* A block may begin many windows earlier; any other block in between ends the search. */
    unsigned window = (unsigned)((address & (POOL_SEGMENT_BYTES - 1)) >> SEGMENT_WINDOW_BITS);

    for (int at = (int)window; at >= 0; at--) {
        if (segment_slot_get(segment, (uint64_t)at << SEGMENT_WINDOW_BITS) & SLOT_SLAB)
            return NULL;
        struct block *block = segment_window_get_locked(segment, (unsigned)at);
        if (block && block->address <= address)
            return address - block->address < block_bytes(block) ? block : NULL;
    }
    return NULL;
}

struct block *block_around_locked(uint64_t address, page_entry entry)
{
    if (!(entry & PAGE_ENTRY_RUN))
        return middle_around((struct segment *)entry, address);
    struct run *run = (struct run *)(entry & ~PAGE_ENTRY_RUN);
    if (run->use == RUN_RANGE)
        return range_block_around(run->pool->runs.range, address);
    return run->block.state == BLOCK_UNUSED ? NULL : &run->block;
}

void block_describe_locked(struct block *block, struct pool_block *ret_block)
{
    bool extent = block->leaves == BLOCK_IS_EXTENT;
    const struct run *run = extent ? NULL : block_run(block);

    *ret_block = (struct pool_block){
        .address = block->address,
        .requested_bytes = block->requested_bytes,
        .allocated_bytes = block_bytes(block),
        .segment_address = extent ? block_extent(block)->node.address : run->address,
        .segment_bytes = extent ? block_bytes(block) : run->bytes,
        .allocation_site = block->site,
        .free_site = block->state == BLOCK_LIVE ? 0 : block->free_site,
        .live = block->state == BLOCK_LIVE,
        .isolated = block_isolated(block),
        .marks = block->marks,
    };
}
