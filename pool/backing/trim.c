/* SPDX-License-Identifier: MIT */
/*
 * Returns and defragments memory without a request: after a free, when the program asks, and when
 * the program has been idle for a while.
 */
#include "pool/backing/supply_inner.h"
#include "pool/backing/supply_mapped.h"
#include "pool/heap/device.h"
#include "pool/heap/figures.h"
#include "pool/heap/quarantine.h"
#include "pool/heap/shard.h"

/* Waits for the work behind earlier frees; the caller is one, or acts for some. */
static void quarantine_drain(struct pool *pool, enum quarantine_closer closer)
{
    uint64_t all, open;
    uint32_t last = quarantine_label(pool);

    quarantine_bytes_get(pool, &all, &open);
    if (open > 0)
        quarantine_close_locked(pool, closer);
    quarantine_poll_locked(pool);
    while (quarantine_wait_owed_locked(pool, last) > 0)
        ;
    quarantine_flush_locked(pool);
}

/* 0: not idle; negative: nobody knows, and a return of memory waits as it would without us. */
static int device_idle_await(struct pool *pool)
{
    int idle = quarantine_idle_await_locked(pool, QUARANTINE_SECONDS);

    if (idle < 0 && !quarantine_settle_locked(pool, QUARANTINE_SECONDS))
        idle = 0;
    quarantine_flush_locked(pool);
    return idle;
}

/* Amount to return while the device is idle: the memory that allocations had to leave above the
 * ceiling; and, if most of the pool is free and the driver has less, enough to make the two
 * equal. Later the device may be busy, and other sizes may be needed. */
static uint64_t excess_bytes(struct pool *pool)
{
    uint64_t gauges[GAUGE_COUNT], room = count_get(&pool->room);

    figures_gauges_get(pool, gauges);
    uint64_t reserved = gauges[GAUGE_reserved_bytes];
    uint64_t free_bytes = gauges[GAUGE_cached_bytes] + gauges[GAUGE_quarantined_bytes];
    uint64_t ceiling = supply_ceiling(pool, gauges[GAUGE_live_allocated_bytes]);
    uint64_t above = pool->overgrown ? pool_minus(reserved, ceiling) : 0;
    uint64_t unequal = free_bytes > reserved / 2 ? pool_minus(free_bytes, room) / 2 : 0;
    return pool_max(above, unequal);
}

/* Returns all free memory if the device is idle. */
static uint64_t idle_return(struct pool *pool, uint64_t now_ns)
{
    uint64_t returned = 0;

    device_request_note(pool, POOL_REQUEST_IDLE_TRIM, 0, 0);
    if (quarantine_idle_await_locked(pool, QUARANTINE_BRIEFLY) != 1)
        return 0;
    pool->idle_since_ns = now_ns;
    quarantine_flush_locked(pool);
    supply_isolated_try(pool);
    supply_empties_release(pool);
    supply_cached_return(pool, UINT64_MAX, &returned);
    return returned;
}

/* Returns all free memory if nothing has been allocated for `idle_trim_ns`. */
static uint64_t idle_trim(struct pool *pool)
{
    uint64_t allocations = figures_allocations(pool);
    uint64_t now_ns = pool->backend.clock_ns(pool->backend.state);

    if (allocations != pool->idle_allocations || pool->idle_since_ns == 0) {
        pool->idle_allocations = allocations;
        pool->idle_since_ns = now_ns;
        return 0;
    }
    return now_ns - pool->idle_since_ns < pool->config.idle_trim_ns ? 0 : idle_return(pool, now_ns);
}

uint64_t pool_idle_return(struct pool *pool)
{
    pool_lock_acquire(&pool->backend_lock);
    uint64_t returned = idle_return(pool, pool->backend.clock_ns(pool->backend.state));
    pool_lock_release(&pool->backend_lock);
    return returned;
}

uint64_t pool_idle_trim(struct pool *pool)
{
    if (pool->config.idle_trim_ns == 0)
        return 0;
    pool_lock_acquire(&pool->backend_lock);
    uint64_t returned = idle_trim(pool);
    pool_lock_release(&pool->backend_lock);
    return returned;
}

void supply_freed(struct shard *shard)
{
    struct pool *pool = shard->pool;

    if (likely(!quarantine_close_due(pool, shard)))
        return;
    pool_lock_acquire(&pool->backend_lock);
    uint64_t excess = 0, returned;
    if (quarantine_close_due(pool, shard) && /* nobody else has meanwhile */
        quarantine_close_locked(pool, QUARANTINE_BY_FREE) == 0) {
        quarantine_held_up_await_locked(pool, count_get(&pool->room));
        excess = excess_bytes(pool);
    }
    if (excess > 0 && quarantine_poll_fresh_locked(pool)) {
        pool->overgrown = false;
        quarantine_flush_locked(pool);
        supply_cached_return(pool, excess, &returned);
    }
    if (pool->mapped) /* so that the next block can be placed in memory freed meanwhile */
        quarantine_poll_locked(pool);
    if (pool->config.idle_trim_ns != 0)
        idle_trim(pool);
    pool_lock_release(&pool->backend_lock);
}

void pool_frees_close(struct pool *pool)
{
    if (pool->config.reuse != POOL_REUSE_DEFERRED)
        return;
    pool_lock_acquire(&pool->backend_lock);
    if (quarantine_close_locked(pool, QUARANTINE_BY_FREE) == 0)
        quarantine_held_up_await_locked(pool, 0);
    pool_lock_release(&pool->backend_lock);
}

void supply_doomed_return(struct pool *pool)
{
    pool_lock_acquire(&pool->backend_lock);
    quarantine_drain(pool, QUARANTINE_BY_FREE);
    supply_doomed_try(pool);
    pool_lock_release(&pool->backend_lock);
}

void supply_cache_bound(struct pool *pool)
{
    uint64_t cached = runs_free_bytes(&pool->runs), returned;

    if (likely(pool->config.cache_max == 0 || cached <= pool->config.cache_max))
        return;
    pool_lock_acquire(&pool->backend_lock);
    cached = runs_free_bytes(&pool->runs);
    supply_cached_return(pool, pool_minus(cached, pool->config.cache_max), &returned);
    pool_lock_release(&pool->backend_lock);
}

/* Waits for earlier frees, and joins the free pieces. */
static void settle(struct pool *pool)
{
    quarantine_drain(pool, QUARANTINE_BY_OTHERS);
    device_idle_await(pool);
    supply_empties_release(pool);
    supply_doomed_try(pool);
}

/* What a free by the driver would have given back by now, although peers are busy. */
static uint64_t for_peers_return(struct pool *pool)
{
    uint64_t returned = 0;

    if (!quarantine_for_peers_locked(pool))
        return 0;
    quarantine_flush_locked(pool);
    supply_empties_release(pool);
    supply_cached_return(pool, UINT64_MAX, &returned);
    if (quarantine_surrenderable_locked(pool))
        returned += supply_surrender_all(pool);
    return returned;
}

int pool_trim(struct pool *pool, size_t keep_bytes, size_t *ret_returned_bytes)
{
    uint64_t gauges[GAUGE_COUNT], returned = 0, surrendered = 0;
    int error = 0, idle = 0;

    device_request_note(pool, POOL_REQUEST_TRIM, 0, keep_bytes);
    pool_lock_acquire(&pool->backend_lock);
    if (keep_bytes == 0)
        surrendered = for_peers_return(pool);
    figures_gauges_get(pool, gauges);
    if (gauges[GAUGE_quarantined_bytes] + gauges[GAUGE_cached_bytes] > keep_bytes)
        quarantine_drain(pool, QUARANTINE_BY_OTHERS);
    supply_empties_release(pool);
    if (count_get(&pool->reserved) > keep_bytes && supply_may_gain(pool, false))
        idle = device_idle_await(pool);
    supply_empties_release(pool);
    if (idle != 0) {
        supply_doomed_try(pool);
        uint64_t cached = runs_free_bytes(&pool->runs);
        error = supply_cached_return(pool, pool_minus(cached, keep_bytes), &returned);
    }
    if (keep_bytes == 0 && (idle < 0 || (idle > 0 && quarantine_surrenderable_locked(pool))))
        surrendered += supply_surrender_all(pool);
    pool_lock_release(&pool->backend_lock);
    figures_sample(pool);
    *ret_returned_bytes = returned + surrendered;
    return error;
}

int pool_defragment(struct pool *pool, uint64_t *ret_moved_bytes)
{
    struct mapped_grown grown = {0};
    uint64_t start_ns = pool->backend.clock_ns(pool->backend.state);
    int error = 0;

    device_request_note(pool, POOL_REQUEST_DEFRAGMENT, 0, 0);
    pool_lock_acquire(&pool->backend_lock);
    settle(pool);
    if (pool->mapped && supply_mapped_may_unmap(pool)) {
        error = mapped_defragment(pool->mapped, &grown);
        supply_stitch_note(pool, &grown, start_ns);
    }
    pool_lock_release(&pool->backend_lock);
    figures_sample(pool);
    *ret_moved_bytes = grown.stitched_bytes;
    return error;
}
