/* SPDX-License-Identifier: MIT */
/*
 * Shards: copies of the bins and extents, so that threads on different processors do not contend
 * for locks or cache lines.
 *
 * A pool begins with one shard, and keeps it if its threads never collide. After enough collisions
 * the pool spreads: an allocation goes to the shard of its processor (the kernel keeps the
 * processor's number in the thread's rseq area, one load away). So two threads that run at the same
 * time never share a shard, however many threads there are. Without rseq, a thread that finds a
 * lock taken moves to another shard and stays there. Blocks are freed to the shard they came from.
 */
#ifndef POOL_HEAP_SHARD_H
#define POOL_HEAP_SHARD_H

#include "pool/heap/types.h"

/* Where the C library put the rseq area of a thread; weak, for C libraries before 2.35. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/** Shard of a thread on an unknown processor. */
extern __thread unsigned shard_hint __attribute__((tls_model("initial-exec")));

/** Returns the shard that this thread should use in a pool that has spread. */
static inline unsigned shard_index_spread(const struct pool *pool)
{
    if (!&__rseq_size || __rseq_size == 0)
        return shard_hint;
    const char *area = (const char *)__builtin_thread_pointer() + __rseq_offset;
    uint32_t processor = *(const volatile uint32_t *)(area + sizeof(uint32_t)); /* cpu_id */
    return processor % pool->shards_max;
}

/** The shard this thread should use. */
static inline unsigned shard_index(const struct pool *pool)
{
    bool spread = atomic_load_explicit(&pool->spread, memory_order_relaxed);

    return likely(!spread) ? 0 : shard_index_spread(pool);
}

static inline struct shard *shard_get(const struct pool *pool, unsigned index)
{
    return atomic_load_explicit(&pool->shards[index], memory_order_acquire);
}

/** Returns the shard that this thread should use, or the first while that does not exist. */
static inline struct shard *shard_here(const struct pool *pool)
{
    struct shard *shard = shard_get(pool, shard_index(pool));

    return likely(shard) ? shard : shard_get(pool, 0);
}

/** Creates the first shard. -ENOMEM without host memory. */
int shard_init(struct pool *pool);
void shard_done(struct pool *pool);

/** A lock of a shard: of a bin, or of the extents. */
static inline struct pool_lock *shard_lock_at(struct shard *shard, size_t lock_offset)
{
    return (struct pool_lock *)(void *)((char *)shard + lock_offset);
}

/** Locks a shard after the one at `index` was taken or did not exist. */
struct shard *shard_lock_contended(struct pool *pool, size_t lock_offset, unsigned index);

/** Takes the lock at an offset in the shard that suits this thread. */
static inline struct shard *shard_lock(struct pool *pool, size_t lock_offset)
{
    unsigned index = shard_index(pool);
    struct shard *shard = shard_get(pool, index);

    if (likely(shard) && likely(pool_lock_try(shard_lock_at(shard, lock_offset))))
        return shard;
    return shard_lock_contended(pool, lock_offset, index);
}

/** Locks the bin of a class that suits this thread. */
static inline struct bin *shard_bin_lock(struct pool *pool, unsigned size_class)
{
    size_t offset = offsetof(struct shard, bins) + size_class * sizeof(struct bin);

    return &shard_lock(pool, offset + offsetof(struct bin, lock))->bins[size_class];
}

/** Locks the extents that suit this thread. */
static inline struct shard *shard_extents_lock(struct pool *pool)
{
    return shard_lock(pool, offsetof(struct shard, extents.blocks.lock));
}

#endif
