/* SPDX-License-Identifier: MIT */
/*
 * Lists of segments, and the two transformations of a run: cut into segments, joined again.
 *
 * A run is cut only while it is wholly free and joined only when it is again, so leaves never move
 * between runs and the page map changes only at these two moments.
 */
#include "pool/segment.h"

#include <errno.h>

#include "pool/run_cache.h"

uint8_t segment_key(const struct segment *segment)
{
    int order = buddy_largest_order(&segment->buddy);
    if (order < 0 || segment->run->pinned)
        return SEGMENT_UNLISTED;
    unsigned fullness = segment->buddy.free_leaves * SEGMENT_FULLNESSES / (SIZE_LEAVES + 1);
    return (uint8_t)((unsigned)order * SEGMENT_FULLNESSES + fullness);
}

static void segment_unlist(struct extents *extents, struct segment *segment)
{
    if (segment->key == SEGMENT_UNLISTED)
        return;
    struct segment **head = &extents->segments[segment->key];
    *(segment->prev != NULL ? &segment->prev->next : head) = segment->next;
    if (segment->next != NULL)
        segment->next->prev = segment->prev;
    if (*head == NULL)
        extents->segment_keys &= ~(UINT64_C(1) << segment->key);
    segment->key = SEGMENT_UNLISTED;
}

static void segment_relist(struct extents *extents, struct segment *segment)
{
    uint8_t key = segment_key(segment);
    if (key == segment->key)
        return;
    segment_unlist(extents, segment);
    segment->key = key;
    if (key == SEGMENT_UNLISTED)
        return;
    segment->prev = NULL;
    segment->next = extents->segments[key];
    if (segment->next != NULL)
        segment->next->prev = segment;
    extents->segments[key] = segment;
    extents->segment_keys |= UINT64_C(1) << key;
}

static struct segment *segment_create(struct pool *pool, struct run *run, uint64_t address)
{
    struct segment *segment = metadata_allocate(METADATA_SEGMENT, sizeof(*segment),
                                                &pool->metadata_bytes);
    if (segment == NULL)
        return NULL;
    segment->pool = pool;
    segment->run = run;
    segment->address = address;
    segment->key = SEGMENT_UNLISTED;
    buddy_init(&segment->buddy);
    for (unsigned window = 0; window < SEGMENT_WINDOWS; window++)
        atomic_store_explicit(&segment->window[window], 0, memory_order_relaxed);
    return segment;
}

/* Removes the first `bytes` of a run from the segments; the pages belong to the run again. */
static void segments_remove(struct pool *pool, struct run *run, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += POOL_SEGMENT_BYTES) {
        struct segment *segment = segment_of_page(run->address + offset);
        segment_unlist(&pool->extents, segment);
        page_map_replace(run->address + offset, POOL_SEGMENT_BYTES,
                         (page_entry)run | PAGE_ENTRY_RUN);
        metadata_free(METADATA_SEGMENT, segment, sizeof(*segment), &pool->metadata_bytes);
    }
}

int segment_run_cut_locked(struct pool *pool, struct run *run)
{
    struct extents *extents = &pool->extents;
    for (size_t offset = 0; offset < run->bytes; offset += POOL_SEGMENT_BYTES) {
        struct segment *segment = segment_create(pool, run, run->address + offset);
        if (segment == NULL) {
            segments_remove(pool, run, offset);
            return -ENOMEM;
        }
        segment_relist(extents, segment);
        page_map_replace(run->address + offset, POOL_SEGMENT_BYTES, (page_entry)segment);
    }
    run->use = RUN_BUDDY;
    run->block.state = BLOCK_UNUSED;
    run->segments_used = 0;
    count_add(&extents->buddy_bytes, run->bytes);
    count_add(&extents->free_bytes, run->bytes);
    if (extents->spare == NULL)
        extents->spare = run;
    return 0;
}

static void run_join(struct pool *pool, struct run *run)
{
    struct extents *extents = &pool->extents;
    segments_remove(pool, run, run->bytes);
    count_subtract(&extents->buddy_bytes, run->bytes);
    if (run->pinned) {
        run->use = RUN_DOOMED;
        run->newer = extents->doomed;
        extents->doomed = run;
        return;
    }
    count_subtract(&extents->free_bytes, run->bytes);
    run->cached_since = count_get(&pool->fence_serves);
    run_cache_insert_locked(extents, run);
}

void segment_spare_release_locked(struct pool *pool)
{
    struct run *run = pool->extents.spare;
    pool->extents.spare = NULL;
    if (run != NULL)
        run_join(pool, run);
}

/* A run has lost its last block. */
static void run_emptied(struct pool *pool, struct run *run)
{
    if (!run->pinned && pool->extents.spare == NULL)
        pool->extents.spare = run;
    else
        run_join(pool, run);
}

static bool cached_run_cut(struct pool *pool)
{
    struct extents *extents = &pool->extents;
    struct run *run = run_cache_best_locked(extents, POOL_SEGMENT_BYTES);
    if (run == NULL || run->bytes > SEGMENT_CUT_MAX)
        return false;
    run_cache_remove_locked(extents, run);
    if (segment_run_cut_locked(pool, run) == 0)
        return true;
    run_cache_insert_locked(extents, run);
    return false;
}

static struct segment *segment_find(const struct extents *extents, unsigned order)
{
    uint64_t keys = extents->segment_keys >> (order * SEGMENT_FULLNESSES);
    if (keys == 0)
        return NULL;
    return extents->segments[order * SEGMENT_FULLNESSES + (unsigned)__builtin_ctzll(keys)];
}

struct segment *segment_leaves_take_locked(struct pool *pool, uint32_t leaves,
                                           uint32_t *ret_first_leaf)
{
    struct extents *extents = &pool->extents;
    unsigned order = pool_log2_ceil(leaves);
    struct segment *segment = segment_find(extents, order);
    if (segment == NULL) {
        if (!cached_run_cut(pool))
            return NULL;
        segment = segment_find(extents, order);
    }

    struct run *run = segment->run;
    if (segment->buddy.free_leaves == SIZE_LEAVES && run->segments_used++ == 0 &&
        extents->spare == run)
        extents->spare = NULL;
    *ret_first_leaf = (uint32_t)buddy_take(&segment->buddy, leaves);
    count_subtract(&extents->free_bytes, leaves * SIZE_LEAF_BYTES);
    segment_relist(extents, segment);
    return segment;
}

void segment_leaves_give_locked(struct segment *segment, uint32_t first_leaf, uint32_t leaves)
{
    struct pool *pool = segment->pool;
    struct extents *extents = &pool->extents;
    struct run *run = segment->run;
    buddy_give(&segment->buddy, first_leaf, leaves);
    count_add(run->pinned ? &extents->wasted_bytes : &extents->free_bytes,
              leaves * SIZE_LEAF_BYTES);
    segment_relist(extents, segment);
    if (segment->buddy.free_leaves == SIZE_LEAVES && --run->segments_used == 0)
        run_emptied(pool, run);
}

void segment_run_pin_locked(struct run *run)
{
    struct extents *extents = &run->pool->extents;
    run->pinned = true;
    for (size_t offset = 0; offset < run->bytes; offset += POOL_SEGMENT_BYTES) {
        struct segment *segment = segment_of_page(run->address + offset);
        uint64_t free_bytes = segment->buddy.free_leaves * SIZE_LEAF_BYTES;
        segment_unlist(extents, segment);
        count_subtract(&extents->free_bytes, free_bytes);
        count_add(&extents->wasted_bytes, free_bytes);
    }
}

/* Leaves of what begins in a window, 0 for none; NULL message when it is sound. */
static const char *window_check(const struct segment *segment, unsigned window, uint32_t *leaves)
{
    uint64_t address = segment->address + ((uint64_t)window << SEGMENT_WINDOW_BITS);
    window_entry entry = atomic_load_explicit(&segment->window[window], memory_order_relaxed);
    if (entry == 0)
        return NULL;
    if (entry & WINDOW_SLAB) {
        struct slab *slab = window_slab(entry);
        struct bin *bin = atomic_load_explicit(&slab->bin, memory_order_relaxed);
        if (bin == NULL || bin->pool != segment->pool || slab->run != segment->run)
            return "segment: a window names a slab of another pool";
        if (address - slab->base >= bin->slab_bytes)
            return "segment: a window names a slab that does not cover it";
        *leaves += 1u << (SEGMENT_WINDOW_BITS - 12);
        return NULL;
    }
    const struct block *block = (const struct block *)entry;
    if (block->address - address >= 1u << SEGMENT_WINDOW_BITS || block->leaves == 0)
        return "segment: a window names a block that does not begin in it";
    for (uint32_t leaf = 0; leaf < block->leaves; leaf++) {
        uint64_t offset = block->address - segment->address;
        if (buddy_leaf_free(&segment->buddy, (uint32_t)(offset / SIZE_LEAF_BYTES) + leaf))
            return "segment: a leaf of a block is free in the buddy";
    }
    *leaves += block->leaves;
    return NULL;
}

const char *segment_check_locked(const struct segment *segment)
{
    const char *why = buddy_check(&segment->buddy);
    uint32_t leaves = segment->buddy.free_leaves;
    for (unsigned window = 0; why == NULL && window < SEGMENT_WINDOWS; window++)
        why = window_check(segment, window, &leaves);
    if (why != NULL)
        return why;
    if (leaves != SIZE_LEAVES)
        return "segment: free leaves + slabs + blocks differ from 512";
    return segment->key == segment_key(segment) ? NULL : "segment: it hangs in the wrong list";
}
