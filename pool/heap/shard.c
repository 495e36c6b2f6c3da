/* SPDX-License-Identifier: MIT */
/*
 * Creation of shards. They are only ever added, under the backend lock, so readers need no lock
 * and the holder of the backend lock sees a constant set.
 */
#include "pool/heap/shard.h"

#include <errno.h>
#include <unistd.h>

#include "pool/heap/bin.h"
#include "pool/heap/quarantine.h"

/* Collisions seen before a pool spreads: enough to distinguish a habit from an accident. */
#define COLLISIONS_TO_SPREAD 64u

__thread unsigned shard_hint __attribute__((tls_model("initial-exec")));

/* The backend lock is held, or the pool is not yet known to anybody. */
static struct shard *shard_create(struct pool *pool, unsigned index)
{
    struct shard *shard = metadata_allocate(METADATA_SHARD, sizeof(*shard), &pool->metadata_bytes);

    if (!shard)
        return NULL;
    shard->pool = pool;
    shard->extents = (struct extents){0};
    pool_lock_init(&shard->extents.blocks.lock, POOL_LOCK_EXTENTS);
    atomic_store_explicit(&shard->flushed_number, quarantine_retired(pool), memory_order_relaxed);
    atomic_store_explicit(&shard->open_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&shard->pending, 0, memory_order_relaxed);
    atomic_store_explicit(&shard->unsettled, 0, memory_order_relaxed);
    for (unsigned size_class = 0; size_class < SIZE_CLASS_COUNT; size_class++)
        bin_init(&shard->bins[size_class], pool, index, size_class);
    atomic_store_explicit(&pool->shards[index], shard, memory_order_release);
    return shard;
}

/* Returns the shard at an index, created if nobody is growing the pool right now; or NULL. */
static struct shard *shard_get_or_create(struct pool *pool, unsigned index)
{
    struct shard *shard = shard_get(pool, index);

    if (shard || !pool_lock_try(&pool->backend_lock))
        return shard;
    shard = shard_get(pool, index);
    if (!shard)
        shard = shard_create(pool, index);
    pool_lock_release(&pool->backend_lock);
    return shard;
}

int shard_init(struct pool *pool)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    pool->shards_max = processors < 1 ? 1
                                      : (unsigned)pool_min((uint64_t)processors, POOL_SHARDS_MAX);
    return shard_create(pool, 0) ? 0 : -ENOMEM;
}

void shard_done(struct pool *pool)
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        for (unsigned size_class = 0; shard && size_class < SIZE_CLASS_COUNT; size_class++)
            bin_done(&shard->bins[size_class]);
        atomic_store_explicit(&pool->shards[index], NULL, memory_order_relaxed);
        metadata_free(METADATA_SHARD, shard, sizeof(*shard), &pool->metadata_bytes);
    }
}

/* Takes the lock of the first shard from `index` on that has a free one; NULL when all are
 * taken. */
static struct shard *free_shard_lock(struct pool *pool, size_t lock_offset, unsigned index)
{
    for (unsigned step = 0; step < pool->shards_max; step++) {
        struct shard *shard = shard_get_or_create(pool, (index + step) % pool->shards_max);

        if (!shard || !pool_lock_try(shard_lock_at(shard, lock_offset)))
            continue;
        shard_hint = (index + step) % pool->shards_max;
        return shard;
    }
    return NULL;
}

POOL_NOINLINE struct shard *shard_lock_contended(struct pool *pool, size_t lock_offset,
                                                 unsigned index)
{
    bool spread = atomic_load_explicit(&pool->spread, memory_order_relaxed);

    if (!spread && count_get(&pool->collisions) < COLLISIONS_TO_SPREAD)
        count_add_shared(&pool->collisions, 1);
    else if (!spread)
        atomic_store_explicit(&pool->spread, pool->shards_max > 1, memory_order_relaxed);

    struct shard *shard = spread ? free_shard_lock(pool, lock_offset, index) : NULL;
    if (!shard) {
        shard = shard_get(pool, spread && shard_get(pool, index) ? index : 0);
        pool_lock_acquire(shard_lock_at(shard, lock_offset));
    }
    return shard;
}
