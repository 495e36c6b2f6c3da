/* SPDX-License-Identifier: MIT */
/*
 * Figures of a pool, taken under its lock.
 */
#include "pool/kv/kv.h"

static double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

int cupool_kv_stats(struct cupool_kv *pool, struct cupool_kv_statistics *ret_stats)
{
    const struct kv_counters *c = &pool->counters;
    int error = kv_lock_all(pool);

    if (error < 0)
        return error;
    uint32_t inactive = pool->order.count + pool->pinned, total = kv_total(pool);
    *ret_stats = (struct cupool_kv_statistics){
        .total = total,
        .free = pool->stack_count,
        .mutable_blocks = pool->mutable_blocks,
        .complete = pool->complete,
        .active = pool->active,
        .inactive = inactive,
        .pinned = pool->pinned,
        .draining = pool->draining,
        .available = pool->stack_count + pool->order.count,
        .peak_used = c->peak_used,
        .usage = share(kv_used(pool), total),
        .occupied = share(kv_used(pool) + inactive + pool->draining, total),
        .hit_rate = share(c->hits, c->queries),
        .queries = c->queries,
        .hits = c->hits,
        .matches = c->matches,
        .allocations = c->allocations,
        .allocation_calls = c->allocation_calls,
        .failures = c->failures,
        .waits = c->waits,
        .evictions = c->evictions,
        .registrations = c->registrations,
        .duplicates = c->duplicates,
        .collisions = c->collisions,
        .released = c->released,
        .stale = atomic_load(&pool->stale),
        .copies = c->copies,
        .events = pool->events.sequence,
        .events_dropped = pool->events.dropped,
        .pages_mapped = atomic_load(&pool->pages.mapped),
        .page_bytes = pool->pages.page_bytes,
        .overflow = c->overflow,
        .metadata_bytes = pool->heap.bytes,
    };
    kv_unlock_all(pool);
    return 0;
}

int cupool_kv_stats_window(struct cupool_kv *pool, uint64_t *ret_queries, uint64_t *ret_hits,
                           double *ret_hit_rate)
{
    int error = kv_lock(pool);

    if (error < 0)
        return error;
    uint64_t queries = pool->window_queries, hits = pool->window_hits;
    kv_unlock(pool);
    if (ret_queries)
        *ret_queries = queries;
    if (ret_hits)
        *ret_hits = hits;
    if (ret_hit_rate)
        *ret_hit_rate = share(hits, queries);
    return 0;
}

static struct cupool_kv_statistics stats_of(struct cupool_kv *pool)
{
    struct cupool_kv_statistics stats = {0};

    cupool_kv_stats(pool, &stats);
    return stats;
}

uint64_t cupool_kv_total_blocks(struct cupool_kv *pool)
{
    return stats_of(pool).total;
}

uint64_t cupool_kv_available_blocks(struct cupool_kv *pool)
{
    return stats_of(pool).available;
}

uint64_t cupool_kv_free_blocks(struct cupool_kv *pool)
{
    return stats_of(pool).free;
}

double cupool_kv_usage_rate(struct cupool_kv *pool)
{
    return stats_of(pool).usage;
}

double cupool_kv_hit_rate(struct cupool_kv *pool)
{
    return stats_of(pool).hit_rate;
}
