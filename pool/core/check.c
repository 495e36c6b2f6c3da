/* SPDX-License-Identifier: MIT */
/*
 * pool_check(): stops the pool and verifies every equation of types.h.
 *
 * live_requested is in no equation: operations update it after they release their lock, so while
 * others run it is ahead or behind by the operations in flight.
 */
#include <errno.h>
#include <stdio.h>

#include "pool/backing/mapped.h"
#include "pool/heap/bin.h"
#include "pool/heap/extents.h"
#include "pool/heap/figures.h"
#include "pool/core/registry.h"
#include "pool/heap/run_cache.h"
#include "pool/heap/segment.h"
#include "pool/heap/shard.h"

/* Sums from the walk of the runs, and from the counters of bins, extents and runs. */
struct tally {
    uint64_t reserved, cached, buddy, buddy_free, wasted, small_live;
    uint64_t buddy_counted, buddy_free_counted, wasted_counted, small_live_counted;
    uint64_t blocks_bytes, slab_bytes; /* live and quarantined blocks; slabs */
    uint64_t extents;                  /* occupied ones of the mapped range */
    uint64_t isolated_waste;
};

static const char *bins_check(struct pool *pool, struct tally *tally)
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        for (unsigned size_class = 0; shard && size_class < SIZE_CLASS_COUNT; size_class++) {
            const struct bin *bin = &shard->bins[size_class];
            const char *why = bin_check_locked(bin);

            if (why)
                return why;
            tally->slab_bytes += count_get(&bin->slabs) * bin->slab_bytes;
            tally->small_live_counted += count_get(&bin->allocations) - count_get(&bin->frees);
        }
    }
    return NULL;
}

/* Walks the slabs that begin in a segment, including full ones, which are in no list of their
 * bin. */
static const char *slabs_check(struct segment *segment, struct tally *tally)
{
    for (unsigned index = 0; index < SEGMENT_SLOTS; index++) {
        uint64_t address = segment->address + ((uint64_t)index << SEGMENT_SLOT_BITS);
        slot_entry entry = segment_slot_get(segment, address);
        struct slab *slab = slot_slab(entry);

        if (!(entry & SLOT_SLAB) || slab->base != address)
            continue;
        const char *why = bin_slab_check_locked(&segment->shard->bins[slab->size_class], slab);
        if (why)
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
        if (!why)
            why = slabs_check(segment, tally);
        if (why)
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
            return "page map: a page of a large run does not name it";
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
    if (run->use == RUN_DOOMED) { /* on its way to the driver its pages may be another's */
        tally->wasted += run->bytes;
        return NULL;
    }
    if (run->use == RUN_CACHED)
        tally->cached += run->bytes;
    if (run->use == RUN_LARGE && run->block.state != BLOCK_LIVE &&
        run->block.state != BLOCK_QUARANTINED)
        return "run: a large run is neither live nor quarantined";
    return whole_run_check(run);
}

static const char *blocks_check(const struct blocks *blocks, struct tally *tally)
{
    uint64_t quarantined = 0;

    for (const struct block *block = blocks->quarantine_head; block; block = block->next) {
        if (block->state != BLOCK_QUARANTINED)
            return "blocks: a block in the quarantine has another state";
        if (block->next && !quarantine_passed(block->epoch, block->next->epoch))
            return "blocks: labels decrease along the quarantine";
        quarantined += block_bytes(block);
    }
    if (quarantined != count_get(&blocks->quarantined_bytes))
        return "blocks: quarantined bytes differ from the counter";
    tally->blocks_bytes += count_get(&blocks->live_bytes) + quarantined;
    return NULL;
}

static const char *extents_check(const struct pool *pool, struct tally *tally)
{
    const char *why = NULL;

    for (unsigned index = 0; !why && index < POOL_SHARDS_MAX; index++) {
        const struct shard *shard = shard_get(pool, index);

        if (!shard)
            continue;
        const struct extents *extents = &shard->extents;
        why = blocks_check(&extents->blocks, tally);
        tally->buddy_counted += count_get(&extents->buddy_bytes);
        tally->buddy_free_counted += count_get(&extents->free_bytes);
        tally->wasted_counted += count_get(&extents->wasted_bytes);
    }
    return why;
}

static const char *extent_check(const struct pool *pool, const struct extent *extent,
                                struct tally *tally)
{
    const struct block *block = extent_block((struct extent *)extent);

    if (!extent->occupied)
        return NULL;
    uint64_t front = block->address - extent->node.address;
    if ((front != 0 && !extent->isolated) || block->leaves != BLOCK_IS_EXTENT ||
        front >= extent->node.bytes || block->requested_bytes > extent->node.bytes - front)
        return "mapped: an extent differs from its block";
    if (extent->use != EXTENT_LIVE ||
        (block->state != BLOCK_LIVE && block->state != BLOCK_QUARANTINED))
        return "mapped: a block is neither live nor quarantined";
    if (page_map_get(block->address) != ((page_entry)&pool->range_run | PAGE_ENTRY_RUN))
        return "page map: a page of the range does not name the range";
    if (extent->isolated &&
        (extent->before->use != EXTENT_FENCE || extent->after->use != EXTENT_FENCE))
        return "mapped: an isolated block has mapped neighbours";
    tally->isolated_waste += extent->isolated ? extent->node.bytes - block->requested_bytes : 0;
    tally->extents += extent->node.bytes;
    return NULL;
}

/* Reserved equals the sum of the handles. Apart from blocks, segments and free memory there is
 * only memory in transition, or out of service. */
static const char *mapped_check(const struct pool *pool, struct tally *tally)
{
    const struct range *range = pool->runs.range;
    const char *why = mapped_check_locked(pool->mapped);

    for (const struct extent *extent = range->first; !why && extent; extent = extent->after)
        why = extent_check(pool, extent, tally);
    uint64_t live = count_get(&range->bytes_of[EXTENT_LIVE]);
    if (!why && tally->isolated_waste != count_get(&pool->runs.isolated_waste))
        why = "mapped: waste of isolated blocks differs from the counter";
    if (!why && (tally->extents != tally->blocks_bytes || live < tally->reserved))
        why = "mapped: blocks and segments differ from the live bytes of the range";
    uint64_t given = live - tally->extents - tally->reserved; /* to a request, not yet occupied */
    uint64_t waste = given + count_get(&pool->mapped->pending_bytes) +
                     count_get(&range->bytes_of[EXTENT_EMPTYING]) +
                     count_get(&range->bytes_of[EXTENT_SPENT]);
    tally->cached = count_get(&range->bytes_of[EXTENT_FREE]);
    tally->reserved += tally->cached + tally->extents + waste;
    tally->wasted += waste;
    tally->wasted_counted += waste;
    return why;
}

static const char *runs_check(const struct pool *pool, struct tally *tally)
{
    const struct runs *runs = &pool->runs;
    const char *why = blocks_check(&runs->blocks, tally);

    for (const struct run *run = runs->all; !why && run; run = run->next)
        why = run_check(run, tally);
    if (!why)
        why = run_cache_check_locked(runs);
    if (!why && pool->mapped)
        why = mapped_check(pool, tally);
    tally->wasted_counted += count_get(&runs->wasted_bytes);
    return why;
}

static const char *counters_check(const struct pool *pool, const struct tally *tally)
{
    if (tally->small_live != tally->small_live_counted)
        return "bin: allocations - frees differ from the live bits";
    if (tally->reserved != count_get(&pool->reserved))
        return "pool: bytes of all runs differ from reserved";
    if (tally->cached != runs_free_bytes(&pool->runs))
        return "runs: cached bytes differ from the counter";
    if (tally->buddy != tally->buddy_counted)
        return "extents: bytes of cut runs differ from the counters";
    if (tally->buddy_free != tally->buddy_free_counted)
        return "extents: free leaves differ from the counters";
    if (tally->wasted != tally->wasted_counted)
        return "pool: free bytes of pinned runs differ from the counters";
    if (tally->reserved !=
        tally->blocks_bytes + tally->slab_bytes + tally->buddy_free + tally->cached + tally->wasted)
        return "pool: live + quarantined + slabs + free + wasted differ from reserved";
    return NULL;
}

static const char *totals_check(const struct pool *pool, const struct tally *tally)
{
    uint64_t gauges[GAUGE_COUNT], waste = tally->wasted;

    figures_gauges_get(pool, gauges);
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        const struct shard *shard = shard_get(pool, index);

        for (unsigned size_class = 0; shard && size_class < SIZE_CLASS_COUNT; size_class++) {
            const struct bin *bin = &shard->bins[size_class];
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
    if (!message)
        message = extents_check(pool, &tally);
    if (!message)
        message = runs_check(pool, &tally);
    if (!message)
        message = counters_check(pool, &tally);
    if (!message)
        message = totals_check(pool, &tally);
    registry_pool_unlock_all(pool);
    if (!message)
        return 0;
    if (why && why_bytes > 0)
        snprintf(why, why_bytes, "%s", message);
    return -EFAULT;
}
