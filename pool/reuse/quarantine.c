/* SPDX-License-Identifier: MIT */
/*
 * The ring of closed epochs.
 *
 * Fences complete in the order they were recorded, so only the oldest one is ever asked. Where
 * there are no fences (an old driver, or POOL_REUSE_SYNC), an epoch has fence 0 and only waiting
 * for the whole device retires it.
 */
#include "pool/reuse/quarantine.h"

#include <errno.h>

#include "pool/small/bin.h"
#include "pool/backing/device.h"
#include "pool/blocks/extents.h"
#include "pool/core/figures.h"
#include "pool/core/shard.h"

/* Small enough to be unnoticed beside a CUDA context, large enough that a program which only churns
 * small blocks records a fence once in a thousand operations. */
#define BOUND_MIN_BYTES      ((uint64_t)8 << 20)
#define BOUND_RESERVED_SHARE 16u

/* How much of the bound is quarantined before a fence is recorded early. */
#define NUDGE_SHARE 2u

void quarantine_init(struct quarantine *quarantine)
{
    atomic_store_explicit(&quarantine->open_number, 1, memory_order_relaxed);
    atomic_store_explicit(&quarantine->retired_number, 0, memory_order_relaxed);
}

uint64_t quarantine_bound(const struct pool *pool)
{
    if (pool->config.quarantine_max != 0)
        return pool->config.quarantine_max;
    return pool_max(BOUND_MIN_BYTES, count_get(&pool->reserved) / BOUND_RESERVED_SHARE);
}

static void bin_bytes_add(const struct bin *bin, uint64_t *all, uint64_t *open)
{
    uint64_t frees = count_get(&bin->frees);
    *all += pool_minus(frees, count_get(&bin->retired)) * bin->object_bytes;
    *open += pool_minus(frees, count_get(&bin->frees_closed)) * bin->object_bytes;
}

static void blocks_bytes_add(const struct blocks *blocks, uint64_t *all, uint64_t *open)
{
    *all += count_get(&blocks->quarantined_bytes);
    *open += count_get(&blocks->open_bytes);
}

static void shard_bytes_add(const struct shard *shard, uint64_t *all, uint64_t *open)
{
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        bin_bytes_add(&shard->bins[class], all, open);
    blocks_bytes_add(&shard->extents.blocks, all, open);
}

void quarantine_bytes_get(const struct pool *pool, uint64_t *ret_all, uint64_t *ret_open)
{
    uint64_t all = 0, open = 0;
    blocks_bytes_add(&pool->runs.blocks, &all, &open);
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        const struct shard *shard = shard_get(pool, index);
        if (shard != NULL)
            shard_bytes_add(shard, &all, &open);
    }
    *ret_all = all;
    *ret_open = pool_min(all, open + count_get(&pool->quarantine.carried_bytes));
}

bool quarantine_due(const struct pool *pool, unsigned share)
{
    uint64_t all = 0, open = 0;
    bool spread = atomic_load_explicit(&pool->spread, memory_order_relaxed);
    shard_bytes_add(shard_here(pool), &all, &open);
    open *= spread ? pool->shards_max : 1;
    open += count_get(&pool->runs.blocks.open_bytes);
    return open >= quarantine_bound(pool) / share;
}

static uint64_t bin_visit(struct bin *bin)
{
    pool_lock_acquire(&bin->lock);
    uint64_t frees = count_get(&bin->frees), opened = count_get(&bin->frees_closed);
    count_set(&bin->frees_closed, frees);
    pool_lock_release(&bin->lock);
    return (frees - opened) * bin->object_bytes;
}

static uint64_t blocks_visit(struct blocks *blocks)
{
    pool_lock_acquire(&blocks->lock);
    uint64_t bytes = count_get(&blocks->open_bytes);
    count_set(&blocks->open_bytes, 0);
    pool_lock_release(&blocks->lock);
    return bytes;
}

/* Passes through every lock that labels are written under; returns what the epoch holds. */
static uint64_t locks_visit(struct pool *pool)
{
    uint64_t bytes = blocks_visit(&pool->runs.blocks);
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);
        if (shard == NULL)
            continue;
        for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
            bytes += bin_visit(&shard->bins[class]);
        bytes += blocks_visit(&shard->extents.blocks);
    }
    return bytes;
}

static int fence_make(struct pool *pool, uint64_t bytes, pool_fence *ret_fence)
{
    struct quarantine *quarantine = &pool->quarantine;
    pool_fence fence = 0;
    int rc = 0;
    if (!quarantine->fences_unsupported && pool->config.reuse != POOL_REUSE_SYNC)
        rc = device_fence_record(pool, bytes, &fence);
    if (rc == -ENOTSUP) {
        quarantine->fences_unsupported = true;
        rc = 0;
    }
    if (rc == 0)
        *ret_fence = fence;
    return rc;
}

int quarantine_close_locked(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;
    if (quarantine->count == QUARANTINE_EPOCHS_MAX)
        return -EAGAIN;
    figures_sample(pool);
    uint32_t number = atomic_load_explicit(&quarantine->open_number, memory_order_relaxed);
    atomic_store_explicit(&quarantine->open_number, number + 1, memory_order_relaxed);
    uint64_t bytes = locks_visit(pool) + count_get(&quarantine->carried_bytes);
    count_set(&quarantine->carried_bytes, bytes);

    pool_fence fence = 0;
    int rc = fence_make(pool, bytes, &fence);
    if (rc < 0)
        return rc;
    count_set(&quarantine->carried_bytes, 0);
    uint32_t slot = (quarantine->first + quarantine->count++) % QUARANTINE_EPOCHS_MAX;
    quarantine->ring[slot] = (struct epoch){.number = number, .fence = fence, .bytes = bytes};
    return 0;
}

static struct epoch *epoch_at(struct quarantine *quarantine, uint32_t index)
{
    return &quarantine->ring[(quarantine->first + index) % QUARANTINE_EPOCHS_MAX];
}

static struct epoch *epoch_oldest_pending(struct quarantine *quarantine)
{
    for (uint32_t index = 0; index < quarantine->count; index++) {
        if (!epoch_at(quarantine, index)->done)
            return epoch_at(quarantine, index);
    }
    return NULL;
}

static void retired_raise(struct quarantine *quarantine, uint32_t number)
{
    uint32_t retired = atomic_load_explicit(&quarantine->retired_number, memory_order_relaxed);
    if (!quarantine_passed(number, retired))
        atomic_store_explicit(&quarantine->retired_number, number, memory_order_release);
}

static struct epoch *lingering_unused(struct quarantine *quarantine)
{
    for (uint32_t index = 0; index < QUARANTINE_LINGERING_MAX; index++) {
        if (quarantine->lingering[index].waiters == 0)
            return &quarantine->lingering[index];
    }
    return NULL;
}

/* The epoch a thread has waited for, in the ring or lingering: it is kept while it has waiters. */
static struct epoch *epoch_waited_for(struct quarantine *quarantine, uint32_t number)
{
    for (uint32_t index = 0; index < quarantine->count; index++) {
        if (epoch_at(quarantine, index)->number == number)
            return epoch_at(quarantine, index);
    }
    struct epoch *epoch = quarantine->lingering;
    while (epoch->waiters == 0 || epoch->number != number)
        epoch++;
    return epoch;
}

/* Takes a passed epoch out of use. A thread that still waits for it must not keep the ring from
 * turning: if it does not run for a while, the others would find no place for their epochs. */
static bool epoch_drop(struct pool *pool, const struct epoch *epoch)
{
    if (epoch->waiters > 0) {
        struct epoch *lingering = lingering_unused(&pool->quarantine);
        if (lingering == NULL)
            return false;
        *lingering = *epoch;
        return true;
    }
    device_fence_release(pool, epoch->fence);
    return true;
}

/* Every epoch up to `number` has been passed. */
static void epochs_retire(struct pool *pool, uint32_t number)
{
    struct quarantine *quarantine = &pool->quarantine;
    for (uint32_t index = 0; index < quarantine->count; index++) {
        struct epoch *epoch = epoch_at(quarantine, index);
        epoch->done = epoch->done || quarantine_passed(epoch->number, number);
    }
    retired_raise(quarantine, number);
    while (quarantine->count > 0 && epoch_at(quarantine, 0)->done &&
           epoch_drop(pool, epoch_at(quarantine, 0))) {
        quarantine->first = (quarantine->first + 1) % QUARANTINE_EPOCHS_MAX;
        quarantine->count--;
    }
}

bool quarantine_poll_locked(struct pool *pool)
{
    bool any = false;
    for (;;) {
        struct epoch *epoch = epoch_oldest_pending(&pool->quarantine);
        if (epoch == NULL || epoch->fence == 0 || device_fence_query(pool, epoch->fence) != 1)
            return any;
        epochs_retire(pool, epoch->number);
        any = true;
    }
}

int quarantine_wait_locked(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;
    struct epoch *epoch = epoch_oldest_pending(quarantine);
    if (epoch == NULL)
        return 0;
    epoch->waiters++; /* keeps the fence */
    uint32_t number = epoch->number;
    pool_fence fence = epoch->fence;
    uint64_t bytes = epoch->bytes;
    pool_lock_release(&pool->backend_lock);
    int rc = device_fence_wait(pool, fence, bytes);
    pool_lock_acquire(&pool->backend_lock);
    epoch = epoch_waited_for(quarantine, number);
    epoch->waiters--;
    bool lingered = epoch >= quarantine->lingering &&
                    epoch < quarantine->lingering + QUARANTINE_LINGERING_MAX;
    if (lingered && epoch->waiters == 0)
        device_fence_release(pool, fence);
    if (rc < 0 && !epoch->done)
        return rc;
    epochs_retire(pool, number);
    return 1;
}

/* What a flush has found. */
struct flushed {
    unsigned count;
    bool stuck; /* something that may leave could not be scrubbed */
};

static void bin_flush(struct bin *bin, uint32_t retired, struct flushed *flushed)
{
    pool_lock_acquire(&bin->lock);
    flushed->count += bin_retire_locked(bin, UINT32_MAX);
    flushed->stuck |= bin_retirable_locked(bin, retired);
    pool_lock_release(&bin->lock);
}

static void blocks_flush(struct pool *pool, struct blocks *blocks, uint32_t retired,
                         struct flushed *flushed)
{
    pool_lock_acquire(&blocks->lock);
    flushed->count += blocks_retire_locked(pool, blocks, UINT32_MAX);
    const struct block *head = blocks->quarantine_head;
    flushed->stuck |= head != NULL && quarantine_passed(head->epoch, retired);
    pool_lock_release(&blocks->lock);
}

static void shard_flush(struct shard *shard, uint32_t retired, struct flushed *flushed)
{
    struct flushed here = {0};
    if (quarantine_passed(retired, shard->flushed_number))
        return;
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        bin_flush(&shard->bins[class], retired, &here);
    blocks_flush(shard->pool, &shard->extents.blocks, retired, &here);
    if (!here.stuck)
        shard->flushed_number = retired;
    flushed->count += here.count;
}

/* Those who failed to allocate before, and wait to grow the pool, shall try again instead. */
static bool flush_done(struct pool *pool, const struct flushed *flushed)
{
    if (flushed->count > 0)
        count_add_shared(&pool->generation, 1);
    return flushed->count > 0;
}

bool quarantine_flush_locked(struct pool *pool)
{
    struct flushed flushed = {0};
    uint32_t retired = quarantine_retired(pool);
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);
        if (shard != NULL)
            shard_flush(shard, retired, &flushed);
    }
    blocks_flush(pool, &pool->runs.blocks, retired, &flushed);
    return flush_done(pool, &flushed);
}

bool quarantine_shard_flush_locked(struct shard *shard)
{
    struct flushed flushed = {0};
    shard_flush(shard, quarantine_retired(shard->pool), &flushed);
    return flush_done(shard->pool, &flushed);
}

void quarantine_sync(struct pool *pool)
{
    pool_lock_acquire(&pool->backend_lock);
    uint32_t number = atomic_fetch_add_explicit(&pool->quarantine.open_number, 1,
                                                memory_order_relaxed);
    uint64_t bytes = locks_visit(pool) + count_get(&pool->quarantine.carried_bytes);
    count_set(&pool->quarantine.carried_bytes, bytes);
    pool_lock_release(&pool->backend_lock);

    int rc = device_fence_wait(pool, 0, bytes);

    pool_lock_acquire(&pool->backend_lock);
    if (rc == 0) {
        uint64_t carried = count_get(&pool->quarantine.carried_bytes);
        count_set(&pool->quarantine.carried_bytes, pool_minus(carried, bytes));
        epochs_retire(pool, number);
    }
    pool_lock_release(&pool->backend_lock);
}

int quarantine_nudge(struct pool *pool)
{
    uint64_t free_bytes = count_get(&shard_here(pool)->extents.free_bytes) +
                          count_get(&pool->runs.cached_bytes);
    if (free_bytes > quarantine_bound(pool) || pool->config.reuse != POOL_REUSE_DEFERRED ||
        !quarantine_due(pool, NUDGE_SHARE) || !pool_lock_try(&pool->backend_lock))
        return 0;
    int rc = quarantine_close_locked(pool);
    pool_lock_release(&pool->backend_lock);
    return rc == 0;
}

void quarantine_done(struct pool *pool)
{
    struct quarantine *quarantine = &pool->quarantine;
    for (; quarantine->count > 0; quarantine->count--) {
        device_fence_release(pool, epoch_at(quarantine, 0)->fence);
        quarantine->first = (quarantine->first + 1) % QUARANTINE_EPOCHS_MAX;
    }
}
