/* SPDX-License-Identifier: MIT */
/*
 * Lists of segments, and the two transformations of a run: cut into segments, joined again.
 *
 * A run is cut only while it is wholly free and joined only when it is so again. So leaves never
 * move between runs, and the page map changes only at these two moments.
 */
#include "pool/heap/segment.h"

#include <errno.h>

#include "pool/heap/run_cache.h"

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
    *(segment->prev ? &segment->prev->next : head) = segment->next;
    if (segment->next)
        segment->next->prev = segment->prev;
    if (!*head)
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
    if (segment->next)
        segment->next->prev = segment;
    extents->segments[key] = segment;
    extents->segment_keys |= UINT64_C(1) << key;
}

static struct segment *segment_create(struct shard *shard, struct run *run, uint64_t address)
{
    struct segment *segment = metadata_allocate(METADATA_SEGMENT, sizeof(*segment),
                                                &shard->pool->metadata_bytes);

    if (!segment)
        return NULL;
    atomic_store_explicit(&segment->shard, shard, memory_order_relaxed);
    atomic_store_explicit(&segment->address, address, memory_order_relaxed);
    atomic_store_explicit(&segment->pinned, false, memory_order_relaxed);
    segment->run = run;
    segment->key = SEGMENT_UNLISTED;
    buddy_init(&segment->buddy);
    for (unsigned index = 0; index < SEGMENT_SLOTS; index++) {
        atomic_store_explicit(&segment->slot[index].entry, 0, memory_order_relaxed);
        atomic_store_explicit(&segment->slot[index].upper, 0, memory_order_relaxed);
    }
    return segment;
}

/* Removes the first `bytes` of a run from the segments; the pages belong to the run again. */
static void segments_remove(struct shard *shard, struct run *run, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += POOL_SEGMENT_BYTES) {
        struct segment *segment = segment_of_page(run->address + offset);

        segment_unlist(&shard->extents, segment);
        page_map_replace(run->address + offset, POOL_SEGMENT_BYTES,
                         (page_entry)run | PAGE_ENTRY_RUN);
        metadata_free(METADATA_SEGMENT, segment, sizeof(*segment), &shard->pool->metadata_bytes);
    }
}

static void spare_set(struct extents *extents, struct run *run)
{
    extents->spare = run;
    count_set(&extents->spare_bytes, run ? run->bytes : 0);
}

int segment_run_cut_locked(struct shard *shard, struct run *run)
{
    struct extents *extents = &shard->extents;

    for (size_t offset = 0; offset < run->bytes; offset += POOL_SEGMENT_BYTES) {
        struct segment *segment = segment_create(shard, run, run->address + offset);

        if (!segment) {
            segments_remove(shard, run, offset);
            return -ENOMEM;
        }
        segment_relist(extents, segment);
        page_map_replace(run->address + offset, POOL_SEGMENT_BYTES, (page_entry)segment);
    }
    run->use = RUN_BUDDY;
    run->segments_used = 0;
    count_add(&extents->buddy_bytes, run->bytes);
    count_add(&extents->free_bytes, run->bytes);
    if (!extents->spare)
        spare_set(extents, run);
    return 0;
}

static void run_join(struct shard *shard, struct run *run)
{
    struct extents *extents = &shard->extents;
    struct runs *runs = &shard->pool->runs;

    segments_remove(shard, run, run->bytes);
    count_subtract(&extents->buddy_bytes, run->bytes);
    count_subtract(run->pinned ? &extents->wasted_bytes : &extents->free_bytes, run->bytes);
    run->cached_since = count_get(&shard->pool->fence_serves);
    pool_lock_acquire(&runs->blocks.lock);
    if (runs->range)
        range_run_give_locked(shard->pool, run);
    else if (run->pinned)
        run_cache_doom_locked(runs, run);
    else
        run_cache_insert_locked(runs, run);
    pool_lock_release(&runs->blocks.lock);
}

void segment_spare_release_locked(struct shard *shard)
{
    struct run *run = shard->extents.spare;

    spare_set(&shard->extents, NULL);
    if (run)
        run_join(shard, run);
}

/* A run has lost its last block. */
static void run_emptied(struct shard *shard, struct run *run)
{
    if (!run->pinned && !shard->extents.spare)
        spare_set(&shard->extents, run);
    else
        run_join(shard, run);
}

/* A page of the mapped range, as a run. */
static struct run *range_run_take(struct pool *pool)
{
    struct runs *runs = &pool->runs;

    pool_lock_acquire(&runs->blocks.lock);
    struct extent *page = range_take_page(runs->range);
    struct run *run = page ? range_run_create_locked(pool, page) : NULL;
    if (page && !run)
        range_give(runs->range, page);
    pool_lock_release(&runs->blocks.lock);
    return run;
}

static struct run *cached_run_take(struct pool *pool)
{
    struct runs *runs = &pool->runs;

    if (runs->range)
        return range_run_take(pool);
    pool_lock_acquire(&runs->blocks.lock);
    struct run *run = run_cache_best_locked(runs, POOL_SEGMENT_BYTES);
    size_t most = runs_are_short(pool) ? POOL_SEGMENT_BYTES : SEGMENT_CUT_MAX;
    if (run && run->bytes > most)
        run = NULL;
    if (run) {
        run_cache_remove_locked(runs, run);
        run->block.state = BLOCK_UNUSED; /* the last block is forgotten from here on */
    }
    pool_lock_release(&runs->blocks.lock);
    return run;
}

void segment_run_uncut(struct pool *pool, struct run *run)
{
    struct runs *runs = &pool->runs;

    pool_lock_acquire(&runs->blocks.lock);
    if (runs->range)
        range_run_give_locked(pool, run);
    else
        run_cache_insert_locked(runs, run);
    pool_lock_release(&runs->blocks.lock);
}

static bool cached_run_cut(struct shard *shard)
{
    struct runs *runs = &shard->pool->runs;

    if (runs_free_bytes(runs) < POOL_SEGMENT_BYTES)
        return false;
    struct run *run = cached_run_take(shard->pool);
    if (!run)
        return false;
    if (segment_run_cut_locked(shard, run) == 0)
        return true;
    segment_run_uncut(shard->pool, run);
    return false;
}

static struct segment *segment_find(const struct extents *extents, unsigned order)
{
    uint64_t keys = extents->segment_keys >> (order * SEGMENT_FULLNESSES);

    if (keys == 0)
        return NULL;
    return extents->segments[order * SEGMENT_FULLNESSES + (unsigned)__builtin_ctzll(keys)];
}

/* Updates the lists and statistics after leaves were taken from a segment. */
static void leaves_taken(struct extents *extents, struct segment *segment, uint32_t leaves)
{
    count_subtract(&extents->free_bytes, leaves * SIZE_LEAF_BYTES);
    segment_relist(extents, segment);
}

struct segment *segment_leaves_take_locked(struct shard *shard, uint32_t leaves,
                                           uint32_t *ret_first_leaf)
{
    struct extents *extents = &shard->extents;
    unsigned order = pool_log2_ceil(leaves);
    struct segment *segment = segment_find(extents, order);

    if (!segment) {
        if (!cached_run_cut(shard))
            return NULL;
        segment = segment_find(extents, order);
    }

    struct run *run = segment->run;
    if (segment->buddy.free_leaves == SIZE_LEAVES && run->segments_used++ == 0 &&
        extents->spare == run)
        spare_set(extents, NULL);
    *ret_first_leaf = (uint32_t)buddy_take(&segment->buddy, leaves);
    leaves_taken(extents, segment, leaves);
    return segment;
}

/* Segments that are searched at most, and those that are passed over because they have too few free
 * leaves: this bounds the time. */
#define SQUEEZE_LOOKS 64u
#define SQUEEZE_STEPS 1024u

struct segment *segment_leaves_squeeze_locked(struct shard *shard, uint32_t leaves,
                                              uint32_t *ret_first_leaf)
{
    struct extents *extents = &shard->extents;
    unsigned looks = 0, steps = 0;
    /* Any 2^(n+1) - 1 adjacent leaves contain an aligned block of 2^n. */
    unsigned least = pool_log2_floor((leaves + 1) / 2) * SEGMENT_FULLNESSES;

    for (uint64_t keys = extents->segment_keys >> least << least; keys != 0; keys &= keys - 1) {
        struct segment *segment = extents->segments[__builtin_ctzll(keys)];

        for (; segment && looks < SQUEEZE_LOOKS && steps < SQUEEZE_STEPS; segment = segment->next) {
            steps++;
            if (segment->buddy.free_leaves < leaves)
                continue;
            int first_leaf = buddy_take_anywhere(&segment->buddy, leaves);
            looks++;
            if (first_leaf < 0)
                continue;
            pool_assert(segment->run->segments_used > 0);
            *ret_first_leaf = (uint32_t)first_leaf;
            leaves_taken(extents, segment, leaves);
            return segment;
        }
    }
    return NULL;
}

void segment_leaves_give_locked(struct segment *segment, uint32_t first_leaf, uint32_t leaves)
{
    struct shard *shard = segment->shard;
    struct extents *extents = &shard->extents;
    struct run *run = segment->run;

    buddy_give(&segment->buddy, first_leaf, leaves);
    count_add(run->pinned ? &extents->wasted_bytes : &extents->free_bytes,
              leaves * SIZE_LEAF_BYTES);
    segment_relist(extents, segment);
    if (segment->buddy.free_leaves == SIZE_LEAVES && --run->segments_used == 0)
        run_emptied(shard, run);
}

void segment_run_pin_locked(struct shard *shard, struct run *run)
{
    struct extents *extents = &shard->extents;

    run->pinned = true;
    for (size_t offset = 0; offset < run->bytes; offset += POOL_SEGMENT_BYTES) {
        struct segment *segment = segment_of_page(run->address + offset);
        uint64_t free_bytes = segment->buddy.free_leaves * SIZE_LEAF_BYTES;

        segment_unlist(extents, segment);
        atomic_store_explicit(&segment->pinned, true, memory_order_relaxed);
        count_subtract(&extents->free_bytes, free_bytes);
        count_add(&extents->wasted_bytes, free_bytes);
    }
}

/* The word for the block that begins in a window of a slot without a slab. */
static _Atomic slot_entry *window_word(struct segment *segment, unsigned window)
{
    struct segment_slot *slot = &segment->slot[window / 2];

    return window % 2 == 0 ? &slot->entry : &slot->upper;
}

struct block *segment_window_get_locked(struct segment *segment, unsigned window)
{
    struct segment_slot *slot = &segment->slot[window / 2];

    if (atomic_load_explicit(&slot->entry, memory_order_relaxed) & SLOT_SLAB)
        return NULL;
    return (struct block *)(uintptr_t)atomic_load_explicit(window_word(segment, window),
                                                           memory_order_relaxed);
}

void segment_window_set_locked(struct segment *segment, uint64_t address, struct block *block)
{
    unsigned window = (address & (POOL_SEGMENT_BYTES - 1)) >> SEGMENT_WINDOW_BITS;

    atomic_store_explicit(window_word(segment, window), (slot_entry)(uintptr_t)block,
                          memory_order_release);
}

static const char *block_check(struct segment *segment, unsigned window, uint32_t *leaves)
{
    uint64_t address = segment->address + ((uint64_t)window << SEGMENT_WINDOW_BITS);
    const struct block *block = segment_window_get_locked(segment, window);

    if (!block)
        return NULL;
    if (block->address - address >= 1u << SEGMENT_WINDOW_BITS || block->leaves == 0)
        return "segment: a window names a block that begins elsewhere";
    for (uint32_t leaf = 0; leaf < block->leaves; leaf++) {
        uint64_t offset = block->address - segment->address;

        if (buddy_leaf_free(&segment->buddy, (uint32_t)(offset / SIZE_LEAF_BYTES) + leaf))
            return "segment: a leaf of a block is free in the buddy";
    }
    *leaves += block->leaves;
    return NULL;
}

/* Adds the leaves in a slot; NULL when it is valid. */
static const char *slot_check(struct segment *segment, unsigned index, uint32_t *leaves)
{
    uint64_t address = segment->address + ((uint64_t)index << SEGMENT_SLOT_BITS);
    slot_entry entry = segment_slot_get(segment, address);

    if (!(entry & SLOT_SLAB)) {
        const char *why = block_check(segment, 2 * index, leaves);

        return why ? why : block_check(segment, 2 * index + 1, leaves);
    }
    const struct slab *slab = slot_slab(entry);
    if (slab->segment != segment || slot_of_slab(slab) != entry)
        return "segment: a slot names a slab of another segment";
    if (address - slab->base >= segment->shard->bins[slab->size_class].slab_bytes)
        return "segment: a slot names a slab that does not cover it";
    *leaves += 1u << (SEGMENT_SLOT_BITS - 12);
    return NULL;
}

const char *segment_check_locked(struct segment *segment)
{
    const char *why = buddy_check(&segment->buddy);
    uint32_t leaves = segment->buddy.free_leaves;

    for (unsigned index = 0; !why && index < SEGMENT_SLOTS; index++)
        why = slot_check(segment, index, &leaves);
    if (why)
        return why;
    if (leaves != SIZE_LEAVES)
        return "segment: free leaves + slabs + blocks differ from 512";
    return segment->key == segment_key(segment) ? NULL : "segment: a segment is in the wrong list";
}
