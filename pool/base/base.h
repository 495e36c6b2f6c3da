/* SPDX-License-Identifier: MIT */
/*
 * Helpers for every file of the pool: assertions, branch hints, arithmetic, counters.
 *
 * The pool runs inside foreign processes, so a release build checks nothing that could end one.
 * POOL_DEBUG selects the level: 0 none; 1 cheap preconditions and lock ranks; 2 also walks whole
 * structures after each change. A failed assertion traps; it never prints.
 *
 * Counters come in two kinds: `count_add` for those guarded by a lock (a plain addition that other
 * threads may read at any time) and `count_add_shared` for those that are not.
 */
#ifndef POOL_BASE_BASE_H
#define POOL_BASE_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef POOL_DEBUG
#define POOL_DEBUG 0
#endif

#define POOL_ASSERT_AT(level, condition)                                                           \
    do {                                                                                           \
        if (POOL_DEBUG >= (level) && !(condition))                                                 \
            __builtin_trap();                                                                      \
    } while (0)
#define pool_assert(condition)           POOL_ASSERT_AT(1, condition)
#define pool_assert_expensive(condition) POOL_ASSERT_AT(2, condition)

#define likely(x)       __builtin_expect(!!(x), 1)
#define unlikely(x)     __builtin_expect(!!(x), 0)
#define POOL_NOINLINE   __attribute__((noinline))
#define POOL_CACHE_LINE 64
#define POOL_ALIGNED    __attribute__((aligned(POOL_CACHE_LINE)))

#define pool_container_of(pointer, type, member)                                                   \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline uint64_t pool_round_up(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

/** Returns the position of the highest set bit; value must not be 0. */
static inline unsigned pool_log2_floor(uint64_t value)
{
    return 63u - (unsigned)__builtin_clzll(value);
}

static inline unsigned pool_log2_ceil(uint64_t value)
{
    return value <= 1 ? 0 : pool_log2_floor(value - 1) + 1;
}

static inline uint64_t pool_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t pool_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/** a - b, or 0: for values read at slightly different moments. */
static inline uint64_t pool_minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

typedef _Atomic uint64_t pool_count;

static inline uint64_t count_get(const pool_count *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static inline void count_set(pool_count *count, uint64_t value)
{
    atomic_store_explicit(count, value, memory_order_relaxed);
}

/** The caller holds the lock that guards the counter. */
static inline void count_add(pool_count *count, uint64_t amount)
{
    count_set(count, count_get(count) + amount);
}

/** The caller holds the lock that guards the counter. */
static inline void count_subtract(pool_count *count, uint64_t amount)
{
    pool_assert(count_get(count) >= amount);
    count_set(count, count_get(count) - amount);
}

static inline void count_add_shared(pool_count *count, uint64_t amount)
{
    atomic_fetch_add_explicit(count, amount, memory_order_relaxed);
}

#endif
