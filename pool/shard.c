/* SPDX-License-Identifier: MIT */
/*
 * The growth of shards. They only ever appear, under the backend lock, so readers need no lock
 * and whoever holds the backend lock sees the same set throughout.
 */
#include "pool/shard.h"

#include <errno.h>
#include <unistd.h>

#include "pool/bin.h"

__thread unsigned shard_hint __attribute__((tls_model("initial-exec")));

/* The backend lock is held, or the pool is not yet known to anybody. */
static struct shard *shard_create(struct pool *pool, unsigned index)
{
    struct shard *shard = metadata_allocate(METADATA_SHARD, sizeof(*shard), &pool->metadata_bytes);
    if (shard == NULL)
        return NULL;
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        bin_init(&shard->bins[class], pool, class);
    atomic_store_explicit(&pool->shards[index], shard, memory_order_release);
    return shard;
}

/* The shard at an index, made when nobody is growing the pool right now; or NULL. */
static struct shard *shard_get_or_create(struct pool *pool, unsigned index)
{
    struct shard *shard = shard_get(pool, index);
    if (shard != NULL || !pool_lock_try(&pool->backend_lock))
        return shard;
    shard = shard_get(pool, index);
    if (shard == NULL)
        shard = shard_create(pool, index);
    pool_lock_release(&pool->backend_lock);
    return shard;
}

int shard_init(struct pool *pool)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    pool->shards_max = processors < 1 ? 1
                                      : (unsigned)pool_min((uint64_t)processors, POOL_SHARDS_MAX);
    return shard_create(pool, 0) != NULL ? 0 : -ENOMEM;
}

void shard_done(struct pool *pool)
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);
        atomic_store_explicit(&pool->shards[index], NULL, memory_order_relaxed);
        metadata_free(METADATA_SHARD, shard, sizeof(*shard), &pool->metadata_bytes);
    }
}

POOL_NOINLINE struct bin *shard_bin_lock_contended(struct pool *pool, unsigned class)
{
    unsigned start = shard_get(pool, shard_hint) != NULL ? shard_hint : 0;
    for (unsigned step = 0; step < pool->shards_max; step++) {
        unsigned index = (start + step) % pool->shards_max;
        struct shard *shard = shard_get_or_create(pool, index);
        if (shard != NULL && pool_lock_try(&shard->bins[class].lock)) {
            shard_hint = index;
            return &shard->bins[class];
        }
    }
    struct bin *bin = &shard_get(pool, start)->bins[class];
    pool_lock_acquire(&bin->lock);
    return bin;
}
