/* SPDX-License-Identifier: MIT */
/*
 * Adding up what the bins and the extents count.
 *
 * Counters are read while other threads change them, so a difference of two may be off by the
 * operations of a moment; it is never allowed to wrap.
 */
#include "pool/figures.h"

#include "pool/run_cache.h"
#include "pool/shard.h"

struct bin_sums {
    uint64_t allocations, frees, live_bytes, live_blocks, quarantined_bytes, free_bytes;
    uint64_t tail_bytes; /* of slabs, behind their last object */
};

static void bin_sums_add(const struct bin *bin, struct bin_sums *sums)
{
    uint64_t retired = count_get(&bin->retired), frees = count_get(&bin->frees);
    uint64_t allocations = count_get(&bin->allocations);
    uint64_t live = pool_minus(allocations, frees);
    uint64_t quarantined = pool_minus(frees, retired);
    uint64_t used = live + quarantined + count_get(&bin->pinned_free);
    sums->allocations += allocations;
    sums->frees += frees;
    sums->live_blocks += live;
    sums->live_bytes += live * bin->object_bytes;
    sums->quarantined_bytes += quarantined * bin->object_bytes;
    sums->free_bytes += pool_minus(count_get(&bin->slabs) * bin->objects, used) * bin->object_bytes;
    sums->tail_bytes += count_get(&bin->slabs) *
                        (bin->slab_bytes - bin->objects * bin->object_bytes);
}

static struct bin_sums bins_sum(const struct pool *pool)
{
    struct bin_sums sums = {0};
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        const struct shard *shard = shard_get(pool, index);
        for (unsigned class = 0; shard != NULL && class < SIZE_CLASS_COUNT; class ++)
            bin_sums_add(&shard->bins[class], &sums);
    }
    return sums;
}

static void gauges_fill(const struct pool *pool, const struct bin_sums *bins,
                        uint64_t gauges[GAUGE_COUNT])
{
    const struct extents *extents = &pool->extents;
    gauges[GAUGE_live_requested_bytes] = count_get(&pool->live_requested);
    gauges[GAUGE_live_allocated_bytes] = bins->live_bytes + count_get(&extents->live_bytes);
    gauges[GAUGE_live_blocks] = bins->live_blocks + pool_minus(count_get(&extents->allocations),
                                                               count_get(&extents->frees));
    gauges[GAUGE_quarantined_bytes] = bins->quarantined_bytes +
                                      count_get(&extents->quarantined_bytes);
    gauges[GAUGE_cached_bytes] = bins->free_bytes + count_get(&extents->free_bytes);
    gauges[GAUGE_reserved_bytes] = count_get(&pool->reserved);
}

void figures_gauges_get(const struct pool *pool, uint64_t ret_gauges[GAUGE_COUNT])
{
    struct bin_sums bins = bins_sum(pool);
    gauges_fill(pool, &bins, ret_gauges);
}

static void gauges_sample_locked(struct pool *pool, const uint64_t current[GAUGE_COUNT])
{
    uint64_t peak = count_get(&pool->live_requested_peak);
    struct pool_gauge *live = &pool->gauges[GAUGE_live_requested_bytes];
    bool at_peak = current[GAUGE_live_requested_bytes] > live->at_peak;
    for (unsigned gauge = 0; gauge < GAUGE_COUNT; gauge++) {
        pool->gauges[gauge].current = current[gauge];
        pool->gauges[gauge].peak = pool_max(pool->gauges[gauge].peak, current[gauge]);
        if (at_peak)
            pool->gauges[gauge].at_peak = current[gauge];
    }
    live->peak = pool_max(live->peak, peak);
    if (at_peak) {
        pool->peak_time_ns = pool->backend.clock_ns(pool->backend.state);
        count_set(&pool->sample_at, live->at_peak + live->at_peak / 128 + 1);
    }
}

POOL_NOINLINE void figures_sample(struct pool *pool)
{
    uint64_t current[GAUGE_COUNT];
    figures_gauges_get(pool, current);
    pool_lock_acquire(&pool->sample_lock);
    gauges_sample_locked(pool, current);
    pool_lock_release(&pool->sample_lock);
}

uint64_t figures_peak(struct pool *pool, enum figure_gauge gauge)
{
    pool_lock_acquire(&pool->sample_lock);
    uint64_t peak = pool->gauges[gauge].peak;
    pool_lock_release(&pool->sample_lock);
    return peak;
}

static uint64_t largest_free_bytes(struct pool *pool)
{
    struct extents *extents = &pool->extents;
    uint64_t largest = 0;
    pool_lock_acquire(&extents->lock);
    const struct run *run = run_cache_largest_locked(extents);
    if (run != NULL)
        largest = run->bytes;
    if (extents->segment_keys != 0) {
        unsigned order = pool_log2_floor(extents->segment_keys) / SEGMENT_FULLNESSES;
        largest = pool_max(largest, SIZE_LEAF_BYTES << order);
    }
    pool_lock_release(&extents->lock);
    return largest;
}

void pool_statistics_get(struct pool *pool, struct pool_statistics *ret_statistics)
{
    figures_sample(pool);
    struct bin_sums bins = bins_sum(pool);
    struct pool_statistics statistics = {
        .largest_free_bytes = largest_free_bytes(pool),
        .metadata_bytes = count_get(&pool->metadata_bytes),
    };

    pool_lock_acquire(&pool->sample_lock);
#define POOL_GAUGE(name, unit, help)   statistics.name = pool->gauges[GAUGE_##name];
#define POOL_COUNTER(name, unit, help) statistics.name = count_get(&pool->counters[COUNTER_##name]);
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    statistics.peak_time_ns = pool->peak_time_ns;
    pool_lock_release(&pool->sample_lock);

    statistics.allocations = bins.allocations + count_get(&pool->extents.allocations);
    statistics.frees = bins.frees + count_get(&pool->extents.frees);
    statistics.hits = pool_minus(statistics.allocations, statistics.misses + statistics.waits);
    *ret_statistics = statistics;
}

/* The tail of a slab counts, though it serves only when the slab is given up: what the program sees
 * as free must come back whole when it has freed everything. */
uint64_t pool_available_bytes(const struct pool *pool)
{
    uint64_t gauges[GAUGE_COUNT];
    struct bin_sums bins = bins_sum(pool);
    gauges_fill(pool, &bins, gauges);
    return gauges[GAUGE_cached_bytes] + gauges[GAUGE_quarantined_bytes] + bins.tail_bytes;
}
