/* SPDX-License-Identifier: MIT */
/*
 * The pool's statistics: where each one is kept, and when peaks are sampled.
 *
 * live_requested is one shared atomic while the pool has one shard; its current value and peak are
 * exact. In a pool that has spread, each shard collects up to `pending_max` bytes before it updates
 * the atomic. The current value stays exact, because readers add the shards; the peak is off by at
 * most the shards' private amounts, 1/256 of it (or 16 KiB a shard). How many bytes a free of a
 * small block has freed is looked up a few frees later, when its cache line has arrived (bin.h).
 * Before a new peak is accepted, and before statistics are read, all such frees are settled.
 *
 * Everything else is kept where it changes (in bins and blocks, under locks that are held anyway)
 * and summed on request. So the peaks of the other gauges, and all at_peak values, are sampled:
 * whenever the peak of live_requested has risen by 1/128 since the last sample, whenever the pool
 * grows, shrinks or closes an epoch, and when statistics are read.
 */
#ifndef POOL_HEAP_FIGURES_H
#define POOL_HEAP_FIGURES_H

#include "pool/heap/types.h"

static inline void figures_count(struct pool *pool, enum figure_counter counter, uint64_t amount)
{
    count_add_shared(&pool->counters[counter], amount);
}

/** Samples every gauge; raises peaks; when live_requested is at its peak, saves the others. */
void figures_sample(struct pool *pool);

/** Current value of every gauge, added up. */
void figures_gauges_get(const struct pool *pool, uint64_t ret_gauges[GAUGE_COUNT]);

/** Blocks handed out so far. */
uint64_t figures_allocations(const struct pool *pool);

/** The largest block obtainable without the driver. */
uint64_t figures_largest_free(struct pool *pool);

/** Highest value of a gauge at a sample point. */
uint64_t figures_peak(struct pool *pool, enum figure_gauge gauge);

/** Raises the peak: live_requested has risen to `live`, or to less if frees are unsettled. */
void figures_peak_raise(struct pool *pool, int64_t live);

/** In a pool that has spread: adds to the private count of this thread's shard. */
void figures_live_add_spread(struct pool *pool, int64_t bytes);

static inline void figures_live_add(struct pool *pool, uint64_t bytes)
{
    if (unlikely(atomic_load_explicit(&pool->spread, memory_order_relaxed))) {
        figures_live_add_spread(pool, (int64_t)bytes);
        return;
    }
    uint64_t live = atomic_fetch_add_explicit(&pool->live_requested, bytes, memory_order_relaxed) +
                    bytes;
    if (unlikely((int64_t)live > (int64_t)count_get(&pool->live_requested_peak)))
        figures_peak_raise(pool, (int64_t)live);
}

static inline void figures_live_subtract(struct pool *pool, uint64_t bytes)
{
    if (unlikely(atomic_load_explicit(&pool->spread, memory_order_relaxed)))
        figures_live_add_spread(pool, -(int64_t)bytes);
    else
        atomic_fetch_sub_explicit(&pool->live_requested, bytes, memory_order_relaxed);
}

#endif
