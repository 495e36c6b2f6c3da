/* SPDX-License-Identifier: MIT */
/*
 * How the memory of a pool is divided, for programs that ask.
 */
#include "pool/heap/figures.h"
#include "pool/heap/types.h"

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
    *ret_memory = memory;
}

int pool_defragment(struct pool *pool, uint64_t *ret_moved_bytes)
{
    *ret_moved_bytes = 0;
    return 0;
}
