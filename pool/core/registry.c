/* SPDX-License-Identifier: MIT */
/*
 * Fork, and the list it needs.
 *
 * The child forgets everything: the page map is emptied, so no address is known, and host memory
 * starts anew. It never touches the parent's device memory nor calls its backends, so it does not
 * matter if the fork interrupted a change. No lock is held around a fork: a fork handler of the
 * program may allocate and free.
 */
#include "pool/core/registry.h"

#include "pool/heap/shard.h"

static struct pool_lock registry_lock = POOL_LOCK_INITIALIZER(REGISTRY);
static struct pool *registry_first; /* guarded by registry_lock */

void registry_add(struct pool *pool)
{
    pool_lock_acquire(&registry_lock);
    pool->registry_next = registry_first;
    registry_first = pool;
    pool_lock_release(&registry_lock);
}

void registry_remove(struct pool *pool)
{
    pool_lock_acquire(&registry_lock);
    for (struct pool **link = &registry_first; *link; link = &(*link)->registry_next) {
        if (*link == pool) {
            *link = pool->registry_next;
            break;
        }
    }
    pool_lock_release(&registry_lock);
}

static void bins_each(struct pool *pool, void (*act)(struct pool_lock *))
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        for (unsigned size_class = 0; shard && size_class < SIZE_CLASS_COUNT; size_class++)
            act(&shard->bins[size_class].lock);
    }
}

static void extents_each(struct pool *pool, void (*act)(struct pool_lock *))
{
    for (unsigned index = 0; index < POOL_SHARDS_MAX; index++) {
        struct shard *shard = shard_get(pool, index);

        if (shard)
            act(&shard->extents.blocks.lock);
    }
}

void registry_pool_lock_all(struct pool *pool)
{
    /* Shards are added under the backend lock, so the set does not change until it is released. */
    pool_lock_acquire_among_equals(&pool->backend_lock);
    bins_each(pool, pool_lock_acquire_among_equals);
    extents_each(pool, pool_lock_acquire_among_equals);
    pool_lock_acquire_among_equals(&pool->runs.blocks.lock);
    pool_lock_acquire_among_equals(&pool->sample_lock);
}

void registry_pool_unlock_all(struct pool *pool)
{
    pool_lock_release(&pool->sample_lock);
    pool_lock_release(&pool->runs.blocks.lock);
    extents_each(pool, pool_lock_release);
    bins_each(pool, pool_lock_release);
    pool_lock_release(&pool->backend_lock);
}

void pool_fork_child(void)
{
    registry_first = NULL;
    page_map_fork_child();
    metadata_fork_child();
    pool_lock_init(&registry_lock, POOL_LOCK_REGISTRY);
    pool_lock_rank_reset();
}
