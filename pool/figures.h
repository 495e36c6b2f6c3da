/* SPDX-License-Identifier: MIT */
/*
 * The pool's statistics: where each figure is kept and when the peaks are looked at.
 *
 * live_requested is one shared atomic, its current value and peak are exact. Everything else is
 * kept where it changes (in bins and extents, under locks that are held anyway) and added up when
 * somebody asks. So the peaks of the other gauges, and all at_peak values, are those seen at sample
 * points: whenever the peak of live_requested has risen by 1/128 since the last, whenever the pool
 * grows, shrinks or closes an epoch, and when statistics are read.
 */
#ifndef POOL_FIGURES_H
#define POOL_FIGURES_H

#include "pool/types.h"

static inline void figures_count(struct pool *pool, enum figure_counter counter, uint64_t amount)
{
    count_add_shared(&pool->counters[counter], amount);
}

/** Looks at every gauge; raises peaks; when live_requested is at its peak, notes the others. */
void figures_sample(struct pool *pool);

/** Current value of every gauge, added up. */
void figures_gauges_get(const struct pool *pool, uint64_t ret_gauges[GAUGE_COUNT]);

/** Highest value of a gauge at a sample point. */
uint64_t figures_peak(struct pool *pool, enum figure_gauge gauge);

static inline void figures_live_add(struct pool *pool, uint64_t bytes)
{
    uint64_t live = atomic_fetch_add_explicit(&pool->live_requested, bytes, memory_order_relaxed) +
                    bytes;
    uint64_t peak = count_get(&pool->live_requested_peak);
    if (POOL_LIKELY(live <= peak))
        return;
    while (live > peak &&
           !atomic_compare_exchange_weak_explicit(&pool->live_requested_peak, &peak, live,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    if (POOL_UNLIKELY(live >= count_get(&pool->sample_at)))
        figures_sample(pool);
}

static inline void figures_live_subtract(struct pool *pool, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&pool->live_requested, bytes, memory_order_relaxed);
}

#endif
