/* SPDX-License-Identifier: MIT */
/*
 * Shards: copies of the bins, so that threads which collide stop colliding.
 *
 * Every thread starts in shard 0. When it finds a bin taken it moves to the next shard and stays
 * there; shards come into being on first use, up to one per processor. A program with one thread
 * never has more than one. Blocks are freed to the bin they came from.
 */
#ifndef POOL_SHARD_H
#define POOL_SHARD_H

#include "pool/types.h"

extern __thread unsigned shard_hint __attribute__((tls_model("initial-exec")));

static inline struct shard *shard_get(const struct pool *pool, unsigned index)
{
    return atomic_load_explicit(&pool->shards[index], memory_order_acquire);
}

/** Makes the first shard. -ENOMEM without host memory. */
int shard_init(struct pool *pool);
void shard_done(struct pool *pool);

/** Moves the thread to another shard and locks a bin there, or at least the one it was at. */
struct bin *shard_bin_lock_contended(struct pool *pool, unsigned class);

/** Locks the bin of a class that suits this thread. */
static inline struct bin *shard_bin_lock(struct pool *pool, unsigned class)
{
    struct shard *shard = shard_get(pool, shard_hint);
    if (POOL_LIKELY(shard != NULL) && POOL_LIKELY(pool_lock_try(&shard->bins[class].lock)))
        return &shard->bins[class];
    return shard_bin_lock_contended(pool, class);
}

#endif
