/* SPDX-License-Identifier: MIT */
/*
 * Sums the counters of the bins, the extents and the runs.
 *
 * Counters are read while other threads change them, so a difference of two may be off by a few
 * operations; it never wraps.
 */
#include "pool/heap/figures.h"

#include "pool/heap/bin.h"
#include "pool/heap/device.h"
#include "pool/heap/run_cache.h"
#include "pool/heap/shard.h"

/* What a shard of a spread pool may keep to itself. */
#define PENDING_MIN_BYTES 16384u
#define PENDING_SHARE     256u

/* Looks up the bytes of unsettled frees; returns their sum. */
static uint64_t frees_settle(struct pool *pool)
{
    uint64_t bytes = 0;

    for (unsigned index = 0; index < pool->shards_max; index++) {
        struct shard *shard = shard_get(pool, index);
        uint32_t bins = !shard ? 0 : atomic_load_explicit(&shard->unsettled, memory_order_relaxed);

        for (; bins != 0; bins &= bins - 1) {
            unsigned size_class = (unsigned)__builtin_ctz(bins);
            struct bin *bin = &shard->bins[size_class];

            pool_lock_acquire(&bin->lock);
            bytes += bin_settle_locked(bin);
            bin->unsettled_known = false;
            atomic_fetch_and_explicit(&shard->unsettled, ~(UINT32_C(1) << size_class),
                                      memory_order_relaxed);
            pool_lock_release(&bin->lock);
        }
    }
    if (bytes > 0)
        figures_live_subtract(pool, bytes);
    return bytes;
}

/* Returns the bytes requested and not freed, including shards' private counts. */
static uint64_t live_requested_get(const struct pool *pool)
{
    uint64_t live = count_get(&pool->live_requested);

    for (unsigned index = 0; index < pool->shards_max; index++) {
        const struct shard *shard = shard_get(pool, index);

        if (shard)
            live += (uint64_t)atomic_load_explicit(&shard->pending, memory_order_relaxed);
    }
    return (int64_t)live < 0 ? 0 : live;
}

static void peak_note(struct pool *pool, uint64_t live)
{
    uint64_t peak = count_get(&pool->live_requested_peak);

    while (live > peak &&
           !atomic_compare_exchange_weak_explicit(&pool->live_requested_peak, &peak, live,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

POOL_NOINLINE void figures_peak_raise(struct pool *pool, int64_t live)
{
    live -= (int64_t)frees_settle(pool);
    if (live <= (int64_t)count_get(&pool->live_requested_peak))
        return;
    peak_note(pool, (uint64_t)live);
    if (unlikely((uint64_t)live >= count_get(&pool->sample_at)))
        figures_sample(pool);
}

POOL_NOINLINE void figures_live_add_spread(struct pool *pool, int64_t bytes)
{
    struct shard *shard = shard_get(pool, shard_index_spread(pool));

    if (!shard)
        shard = shard_get(pool, 0);
    int64_t pending = atomic_fetch_add_explicit(&shard->pending, bytes, memory_order_relaxed) +
                      bytes;
    int64_t most = (int64_t)count_get(&pool->pending_max);
    if (likely(pending < most && pending > -most))
        return;
    uint64_t moved = (uint64_t)atomic_exchange_explicit(&shard->pending, 0, memory_order_relaxed);
    int64_t live = (int64_t)(atomic_fetch_add_explicit(&pool->live_requested, moved,
                                                       memory_order_relaxed) +
                             moved);
    /* Only an allocation makes a peak; a free may hold the lock of a bin. */
    if (bytes > 0 && live > (int64_t)count_get(&pool->live_requested_peak))
        figures_peak_raise(pool, live);
}

struct sums {
    uint64_t allocations, frees, live_bytes, live_blocks, quarantined_bytes, free_bytes;
    uint64_t tail_bytes; /* of slabs, behind their last object */
};

static void bin_sums_add(const struct bin *bin, struct sums *sums)
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

static void blocks_sums_add(const struct blocks *blocks, struct sums *sums)
{
    uint64_t allocations = count_get(&blocks->allocations), frees = count_get(&blocks->frees);

    sums->allocations += allocations;
    sums->frees += frees;
    sums->live_blocks += pool_minus(allocations, frees);
    sums->live_bytes += count_get(&blocks->live_bytes);
    sums->quarantined_bytes += count_get(&blocks->quarantined_bytes);
}

static struct sums pool_sums(const struct pool *pool)
{
    struct sums sums = {.free_bytes = runs_free_bytes(&pool->runs)};

    blocks_sums_add(&pool->runs.blocks, &sums);
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        const struct shard *shard = shard_get(pool, index);

        if (!shard)
            continue;
        for (unsigned size_class = 0; size_class < SIZE_CLASS_COUNT; size_class++)
            bin_sums_add(&shard->bins[size_class], &sums);
        blocks_sums_add(&shard->extents.blocks, &sums);
        sums.free_bytes += count_get(&shard->extents.free_bytes);
    }
    return sums;
}

uint64_t figures_allocations(const struct pool *pool)
{
    return pool_sums(pool).allocations;
}

static void gauges_fill(const struct pool *pool, const struct sums *sums,
                        uint64_t gauges[GAUGE_COUNT])
{
    gauges[GAUGE_live_requested_bytes] = live_requested_get(pool);
    gauges[GAUGE_live_allocated_bytes] = sums->live_bytes;
    gauges[GAUGE_live_blocks] = sums->live_blocks;
    gauges[GAUGE_quarantined_bytes] = sums->quarantined_bytes;
    gauges[GAUGE_cached_bytes] = sums->free_bytes;
    gauges[GAUGE_reserved_bytes] = count_get(&pool->reserved);
}

void figures_gauges_get(const struct pool *pool, uint64_t ret_gauges[GAUGE_COUNT])
{
    struct sums sums = pool_sums(pool);

    gauges_fill(pool, &sums, ret_gauges);
}

static void gauges_sample_locked(struct pool *pool, const uint64_t current[GAUGE_COUNT])
{
    uint64_t peak = count_get(&pool->live_requested_peak);
    struct pool_gauge *live = &pool->gauges[GAUGE_live_requested_bytes];
    struct pool_gauge *reserved = &pool->gauges[GAUGE_reserved_bytes];
    bool at_peak = current[GAUGE_live_requested_bytes] > live->at_peak;

    for (unsigned gauge = 0; gauge < GAUGE_COUNT; gauge++) {
        pool->gauges[gauge].current = current[gauge];
        pool->gauges[gauge].peak = pool_max(pool->gauges[gauge].peak, current[gauge]);
        if (at_peak)
            pool->gauges[gauge].at_peak = current[gauge];
    }
    live->peak = pool_max(live->peak, peak);
    reserved->peak = pool_max(reserved->peak, count_get(&pool->reserved_peak));
    if (at_peak) {
        pool->peak_time_ns = pool->backend.clock_ns(pool->backend.state);
        count_set(&pool->sample_at, live->at_peak + live->at_peak / 128 + 1);
    }
}

POOL_NOINLINE void figures_sample(struct pool *pool)
{
    uint64_t current[GAUGE_COUNT];

    frees_settle(pool);
    figures_gauges_get(pool, current);
    peak_note(pool, current[GAUGE_live_requested_bytes]);
    uint64_t peak = count_get(&pool->live_requested_peak);
    count_set(&pool->pending_max,
              pool_max(PENDING_MIN_BYTES, peak / PENDING_SHARE / pool->shards_max));
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

static uint64_t largest_cached_bytes(struct pool *pool)
{
    pool_lock_acquire(&pool->runs.blocks.lock);
    const struct run *run = run_cache_largest_locked(&pool->runs);
    uint64_t largest = run ? run->bytes : 0;
    if (pool->runs.range)
        largest = range_largest_free(pool->runs.range);
    pool_lock_release(&pool->runs.blocks.lock);
    return largest;
}

static uint64_t largest_order_bytes(struct extents *extents)
{
    pool_lock_acquire(&extents->blocks.lock);
    uint64_t keys = extents->segment_keys;
    pool_lock_release(&extents->blocks.lock);
    return keys == 0 ? 0 : SIZE_LEAF_BYTES << pool_log2_floor(keys) / SEGMENT_FULLNESSES;
}

uint64_t figures_largest_free(struct pool *pool)
{
    uint64_t largest = largest_cached_bytes(pool);

    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        if (shard)
            largest = pool_max(largest, largest_order_bytes(&shard->extents));
    }
    return largest;
}

void pool_statistics_get(struct pool *pool, struct pool_statistics *ret_statistics)
{
    device_request_note(pool, POOL_REQUEST_FIGURES, 0, 0);
    figures_sample(pool);
    struct sums sums = pool_sums(pool);
    *ret_statistics = (struct pool_statistics){
        .largest_free_bytes = figures_largest_free(pool),
        .metadata_bytes = count_get(&pool->metadata_bytes),
    };

    pool_lock_acquire(&pool->sample_lock);
#define POOL_GAUGE(name, unit, help) ret_statistics->name = pool->gauges[GAUGE_##name];
#define POOL_COUNTER(name, unit, help)                                                             \
    ret_statistics->name = count_get(&pool->counters[COUNTER_##name]);
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    ret_statistics->peak_time_ns = pool->peak_time_ns;
    pool_lock_release(&pool->sample_lock);

    ret_statistics->allocations = sums.allocations;
    ret_statistics->frees = sums.frees;
    ret_statistics->hits = pool_minus(ret_statistics->allocations,
                                      ret_statistics->misses + ret_statistics->waits);
}

uint64_t pool_spare_bytes(const struct pool *pool)
{
    return pool_minus(count_get(&pool->reserved), pool_sums(pool).live_bytes);
}

/* The tail of a slab counts, though it is usable only when the slab is freed: when a program
 * has freed everything, its free memory must be whole again. */
uint64_t pool_available_bytes(const struct pool *pool)
{
    uint64_t gauges[GAUGE_COUNT];
    struct sums sums = pool_sums(pool);

    gauges_fill(pool, &sums, gauges);
    return gauges[GAUGE_cached_bytes] + gauges[GAUGE_quarantined_bytes] + sums.tail_bytes;
}
