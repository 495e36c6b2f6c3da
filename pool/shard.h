/* SPDX-License-Identifier: MIT */
/*
 * Shards: copies of the bins, so that threads on different processors stop colliding.
 *
 * A pool begins with one shard, and a program whose threads never collide keeps it at that. Once
 * collisions have been seen often enough the pool spreads: an allocation goes to the shard of the
 * processor it runs on (the kernel keeps its number in the thread's rseq area, one load away), so
 * however many threads there are, two that run at the same time meet in no bin. Where there is no
 * rseq, a thread that finds a bin taken moves on and stays. Blocks are freed to the bin they came
 * from.
 */
#ifndef POOL_SHARD_H
#define POOL_SHARD_H

#include "pool/types.h"

/* Where the C library put the rseq area of a thread; weak, for C libraries before 2.35. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/** Where a thread goes when its processor is not known. */
extern __thread unsigned shard_hint __attribute__((tls_model("initial-exec")));

/** The shard this thread should use in a pool that has spread. */
static inline unsigned shard_index_spread(const struct pool *pool)
{
    if (&__rseq_size == NULL || __rseq_size == 0)
        return shard_hint;
    const char *area = (const char *)__builtin_thread_pointer() + __rseq_offset;
    uint32_t processor = *(const volatile uint32_t *)(area + sizeof(uint32_t)); /* cpu_id */
    return processor % pool->shards_max;
}

/** The shard this thread should use. */
static inline unsigned shard_index(const struct pool *pool)
{
    bool spread = atomic_load_explicit(&pool->spread, memory_order_relaxed);
    return POOL_LIKELY(!spread) ? 0 : shard_index_spread(pool);
}

static inline struct shard *shard_get(const struct pool *pool, unsigned index)
{
    return atomic_load_explicit(&pool->shards[index], memory_order_acquire);
}

/** Makes the first shard. -ENOMEM without host memory. */
int shard_init(struct pool *pool);
void shard_done(struct pool *pool);

/** Locks a bin of the class after the one at `index` was taken or its shard did not exist. */
struct bin *shard_bin_lock_contended(struct pool *pool, unsigned class, unsigned index);

/** Locks the bin of a class that suits this thread. */
static inline struct bin *shard_bin_lock(struct pool *pool, unsigned class)
{
    unsigned index = shard_index(pool);
    struct shard *shard = shard_get(pool, index);
    if (POOL_LIKELY(shard != NULL) && POOL_LIKELY(pool_lock_try(&shard->bins[class].lock)))
        return &shard->bins[class];
    return shard_bin_lock_contended(pool, class, index);
}

#endif
