/* SPDX-License-Identifier: MIT */
/*
 * How the memory of a pool is divided, for programs that ask.
 */
#include "pool/backing/mapped.h"
#include "pool/heap/figures.h"
#include "pool/heap/types.h"

static void range_describe(struct pool *pool, struct pool_memory *memory)
{
    const struct mapped *mapped = pool->mapped;

    memory->page_bytes = mapped->config.page_bytes;
    memory->range_address = mapped->range.address;
    memory->range_bytes = mapped->range.bytes;
    pool_lock_acquire(mapped->lock);
    memory->hole_bytes = count_get(&mapped->range.bytes_of[EXTENT_HOLE]) +
                         count_get(&mapped->range.bytes_of[EXTENT_FENCE]);
    memory->holes = mapped->range.holes_count;
    memory->returnable_bytes = mapped_whole_bytes_locked(mapped);
    pool_lock_release(mapped->lock);
}

void pool_memory_get(struct pool *pool, struct pool_memory *ret_memory)
{
    uint64_t gauges[GAUGE_COUNT];
    struct pool_memory memory = {.backing = pool->config.backing};

    figures_gauges_get(pool, gauges);
    memory.reserved_bytes = gauges[GAUGE_reserved_bytes];
    memory.live_bytes = gauges[GAUGE_live_allocated_bytes];
    memory.quarantined_bytes = gauges[GAUGE_quarantined_bytes];
    memory.free_bytes = gauges[GAUGE_cached_bytes];
    memory.waste_bytes = pool_minus(
        memory.reserved_bytes, memory.live_bytes + memory.quarantined_bytes + memory.free_bytes);
    memory.largest_free_bytes = figures_largest_free(pool);
    memory.returnable_bytes = count_get(&pool->runs.cached_bytes);
    memory.stitched_bytes = count_get(&pool->counters[COUNTER_stitched_bytes]);
    memory.broken_bytes = count_get(&pool->counters[COUNTER_broken_bytes]);
    if (pool->mapped)
        range_describe(pool, &memory);
    *ret_memory = memory;
}
