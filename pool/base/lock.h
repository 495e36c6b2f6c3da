/* SPDX-License-Identifier: MIT */
/*
 * The pool's lock: eight bytes, one atomic operation when uncontended.
 *
 * A waiter spins about as long as going to sleep costs, then sleeps in the kernel, so that eight
 * threads on two cores do not burn the time slices the owner needs. Ranks define the lock order: a
 * thread may take a lock only while it holds none of the same or a higher rank. Debug builds check
 * this on every acquisition.
 *
 * Not recursive. Usable before main and after fork; all-zero is an unlocked lock.
 */
#ifndef POOL_BASE_LOCK_H
#define POOL_BASE_LOCK_H

#include "pool/base/barrier.h"

/* clang-format off */
#define POOL_LOCK_RANKS(RANK) \
    RANK(REGISTRY, "list of the pools of the process")                    \
    RANK(BACKEND,  "one thread at a time grows, shrinks, closes epochs")  \
    RANK(BIN,      "one size class of one shard")                         \
    RANK(EXTENTS,  "segments and middle blocks of one shard")             \
    RANK(RUNS,     "large blocks and cached runs of one pool")            \
    RANK(METADATA, "host memory for bookkeeping")                         \
    RANK(PAGE_MAP, "writers of the page map")
/* clang-format on */

enum pool_lock_rank {
#define RANK(name, what) POOL_LOCK_##name,
    POOL_LOCK_RANKS(RANK)
#undef RANK
        POOL_LOCK_RANK_COUNT
};

struct pool_lock {
    _Atomic uint16_t held;  /* 0 or 1 */
    uint16_t rank;          /* immutable after init */
    _Atomic uint32_t sleep; /* lowest bit: somebody may sleep; the others count wake-ups */
};

#define POOL_LOCK_INITIALIZER(name)                                                                \
    {                                                                                              \
        .rank = POOL_LOCK_##name                                                                   \
    }

static inline void pool_lock_init(struct pool_lock *lock, enum pool_lock_rank rank)
{
    atomic_store_explicit(&lock->held, 0, memory_order_relaxed);
    atomic_store_explicit(&lock->sleep, 0, memory_order_relaxed);
    lock->rank = (uint16_t)rank;
}

void pool_lock_acquire_slow(struct pool_lock *lock);
void pool_lock_wake(struct pool_lock *lock);

#if POOL_DEBUG >= 1
void pool_lock_rank_enter(const struct pool_lock *lock, bool in_order);
void pool_lock_rank_leave(const struct pool_lock *lock);
#else
static inline void pool_lock_rank_enter(const struct pool_lock *lock, bool in_order)
{
}
static inline void pool_lock_rank_leave(const struct pool_lock *lock)
{
}
#endif
/** Forgets the locks that this thread holds: only in the child of a fork. */
void pool_lock_rank_reset(void);

static inline bool pool_lock_take(struct pool_lock *lock)
{
    uint16_t expected = 0;

    return atomic_compare_exchange_strong_explicit(&lock->held, &expected, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline bool pool_lock_try(struct pool_lock *lock)
{
    if (unlikely(!pool_lock_take(lock)))
        return false;
    pool_lock_rank_enter(lock, false);
    return true;
}

static inline void pool_lock_acquire(struct pool_lock *lock)
{
    pool_lock_rank_enter(lock, true);
    if (unlikely(!pool_lock_take(lock)))
        pool_lock_acquire_slow(lock);
}

/** For the checker, which holds all locks of a rank at once, in one fixed order. */
static inline void pool_lock_acquire_among_equals(struct pool_lock *lock)
{
    pool_lock_rank_enter(lock, false);
    if (unlikely(!pool_lock_take(lock)))
        pool_lock_acquire_slow(lock);
}

static inline void pool_lock_release(struct pool_lock *lock)
{
    pool_lock_rank_leave(lock);
    atomic_store_explicit(&lock->held, 0, memory_order_release);
    barrier_light();
    if (unlikely(atomic_load_explicit(&lock->sleep, memory_order_relaxed) & 1))
        pool_lock_wake(lock);
}

/** Whether anybody holds it; for assertions. */
static inline bool pool_lock_held(const struct pool_lock *lock)
{
    return atomic_load_explicit(&lock->held, memory_order_relaxed) != 0;
}

#endif
