/* SPDX-License-Identifier: MIT */
/*
 * pool_check(): stops the pool and verifies every equation of types.h.
 *
 * live_requested is not part of any: operations add to it after they have let go of their lock, so
 * while others run it is ahead or behind by those in flight.
 */
#include <errno.h>
#include <stdio.h>

#include "pool/bin.h"
#include "pool/extents.h"
#include "pool/figures.h"
#include "pool/registry.h"
#include "pool/run_cache.h"
#include "pool/segment.h"
#include "pool/shard.h"

/* What the walk adds up, to be compared with the counters. */
struct tally {
    uint64_t reserved, live, cached_runs, buddy, buddy_free, wasted, slab_bytes;
    uint64_t quarantined, quarantined_blocks;
    uint64_t small_live, small_live_counted; /* in the slabs, and as the bins say */
};

static const char *bins_check(struct pool *pool, struct tally *tally)
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);
        for (unsigned class = 0; shard != NULL && class < SIZE_CLASS_COUNT; class ++) {
            const struct bin *bin = &shard->bins[class];
            const char *why = bin_check_locked(bin);
            if (why != NULL)
                return why;
            tally->slab_bytes += count_get(&bin->slabs) * bin->slab_bytes;
            tally->small_live_counted += count_get(&bin->allocations) - count_get(&bin->frees);
        }
    }
    return NULL;
}

/* The slabs that begin in a segment, the full ones too, which hang in no list of their bin. */
static const char *slabs_check(struct segment *segment, struct tally *tally)
{
    for (unsigned index = 0; index < SEGMENT_SLOTS; index++) {
        uint64_t address = segment->address + ((uint64_t)index << SEGMENT_SLOT_BITS);
        slot_entry entry = segment_slot_get(segment, address);
        struct slab *slab = slot_slab(entry);
        if (!(entry & SLOT_SLAB) || slab->base != address)
            continue;
        const struct shard *shard = shard_get(segment->pool, slab->shard);
        const char *why = bin_slab_check_locked(&shard->bins[slab->class], slab);
        if (why != NULL)
            return why;
        tally->small_live += (uint64_t)__builtin_popcountll(count_get(&segment->slot[index].live));
        tally->small_live += (uint64_t)__builtin_popcountll(count_get(&slab->live_high));
    }
    return NULL;
}

static const char *segments_check(const struct run *run, struct tally *tally)
{
    uint32_t used = 0;
    for (size_t offset = 0; offset < run->bytes; offset += POOL_SEGMENT_BYTES) {
        page_entry entry = page_map_get(run->address + offset);
        struct segment *segment = (struct segment *)entry;
        if (entry == 0 || entry & PAGE_ENTRY_RUN || segment->run != run ||
            segment->address != run->address + offset)
            return "page map: a page of a cut run does not name its segment";
        const char *why = segment_check_locked(segment);
        if (why == NULL)
            why = slabs_check(segment, tally);
        if (why != NULL)
            return why;
        used += segment->buddy.free_leaves < SIZE_LEAVES;
        *(run->pinned ? &tally->wasted : &tally->buddy_free) += segment->buddy.free_leaves *
                                                                SIZE_LEAF_BYTES;
    }
    return used == run->segments_used ? NULL : "run: used segments differ from the count";
}

static const char *whole_run_check(const struct run *run)
{
    for (size_t offset = 0; offset < run->bytes; offset += POOL_SEGMENT_BYTES) {
        if (page_map_get(run->address + offset) != ((page_entry)run | PAGE_ENTRY_RUN))
            return "page map: a page of a whole run does not name it";
    }
    return NULL;
}

static const char *run_check(const struct run *run, struct tally *tally)
{
    tally->reserved += run->bytes;
    if (run->use == RUN_BUDDY) {
        tally->buddy += run->bytes;
        return segments_check(run, tally);
    }
    if (run->use == RUN_DOOMED)
        tally->wasted += run->bytes;
    if (run->use == RUN_CACHED)
        tally->cached_runs += run->bytes;
    if (run->use == RUN_LARGE && run->block.state == BLOCK_LIVE)
        tally->live += run->bytes;
    if (run->use == RUN_LARGE && run->block.state != BLOCK_LIVE &&
        run->block.state != BLOCK_QUARANTINED)
        return "run: a large one is neither live nor quarantined";
    return whole_run_check(run);
}

static const char *quarantine_check(const struct extents *extents, struct tally *tally)
{
    for (const struct block *block = extents->quarantine_head; block != NULL; block = block->next) {
        if (block->state != BLOCK_QUARANTINED)
            return "extents: a block in the quarantine is in another state";
        if (block->next != NULL && !quarantine_passed(block->epoch, block->next->epoch))
            return "extents: labels decrease along the quarantine";
        tally->quarantined += block_bytes(block);
        tally->quarantined_blocks++;
    }
    return NULL;
}

static const char *extents_check(struct pool *pool, struct tally *tally)
{
    const struct extents *extents = &pool->extents;
    const char *why = quarantine_check(extents, tally);
    for (const struct run *run = extents->runs; why == NULL && run != NULL; run = run->next)
        why = run_check(run, tally);
    if (why == NULL)
        why = run_cache_check_locked(extents);
    if (why != NULL)
        return why;
    if (tally->small_live != tally->small_live_counted)
        return "bin: allocations - frees differ from the live bits";
    if (tally->reserved != count_get(&pool->reserved))
        return "pool: bytes of all runs differ from reserved";
    if (tally->quarantined != count_get(&extents->quarantined_bytes))
        return "extents: quarantined bytes differ from the counter";
    if (tally->buddy != count_get(&extents->buddy_bytes))
        return "extents: bytes of cut runs differ from the counter";
    if (tally->buddy_free + tally->cached_runs != count_get(&extents->free_bytes))
        return "extents: free leaves + cached runs differ from free bytes";
    if (tally->wasted != count_get(&extents->wasted_bytes))
        return "extents: what is free in pinned runs differs from the counter";
    uint64_t blocks = count_get(&extents->live_bytes) + tally->quarantined;
    if (tally->reserved != blocks + tally->slab_bytes + count_get(&extents->free_bytes) +
                               count_get(&extents->wasted_bytes))
        return "extents: live + quarantined + slabs + free + wasted differ from reserved";
    return NULL;
}

static const char *totals_check(struct pool *pool)
{
    uint64_t gauges[GAUGE_COUNT], waste = count_get(&pool->extents.wasted_bytes);
    figures_gauges_get(pool, gauges);
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);
        for (unsigned class = 0; shard != NULL && class < SIZE_CLASS_COUNT; class ++) {
            const struct bin *bin = &shard->bins[class];
            uint32_t tail = bin->slab_bytes - bin->objects * bin->object_bytes;
            waste += count_get(&bin->slabs) * tail;
            waste += count_get(&bin->pinned_free) * bin->object_bytes;
        }
    }
    if (gauges[GAUGE_live_allocated_bytes] + gauges[GAUGE_quarantined_bytes] +
            gauges[GAUGE_cached_bytes] + waste !=
        gauges[GAUGE_reserved_bytes])
        return "pool: live + quarantined + cached + waste differ from reserved";
    return NULL;
}

int pool_check(struct pool *pool, char *why, size_t why_bytes)
{
    struct tally tally = {0};
    registry_pool_lock_all(pool);
    const char *message = bins_check(pool, &tally);
    if (message == NULL)
        message = extents_check(pool, &tally);
    if (message == NULL)
        message = totals_check(pool);
    registry_pool_unlock_all(pool);
    if (message == NULL)
        return 0;
    if (why != NULL && why_bytes > 0)
        snprintf(why, why_bytes, "%s", message);
    return -EFAULT;
}
