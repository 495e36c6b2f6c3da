/* SPDX-License-Identifier: MIT */
/*
 * Fronts: a few free blocks for each processor, so that threads that contend for the pool's lock
 * can take and release blocks without it.
 *
 * They are used once the lock was found taken. A pool used by one thread never has any, and its
 * order is exactly that of the stack. Code that needs all free blocks, or runs short, first empties
 * the fronts into the stack. Blocks with device work, memory to clear or pages to return go through
 * the lock, and so do all blocks while somebody waits.
 *
 * The peak of blocks in use is exact: each front has a limit on what it may add, and the pool's
 * count plus all limits never exceeds the peak. A thread that needs more takes the pool's lock,
 * counts the blocks in use, and raises the peak if necessary.
 *
 * Threading: a front's lock is taken with or without the pool's, never the other way round. A limit
 * changes under both.
 */
#ifndef POOL_KV_FRONT_H
#define POOL_KV_FRONT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define KV_FRONTS       16u
#define KV_FRONT_BLOCKS 64u

struct cupool_kv;

struct kv_front {
    _Alignas(128) pthread_mutex_t lock;
    uint32_t count, ids[KV_FRONT_BLOCKS];
    /* What the pool's counters do not have yet. */
    uint32_t mutable_change, complete_change; /* modulo 2^32 */
    int64_t limit;                            /* of both together */
    uint64_t allocations, calls, released;
    /* Blocks in transit between a caller and the stack: begun and ended since creation. */
    _Alignas(128) _Atomic uint64_t begun;
    _Atomic uint64_t ended;
};

void kv_fronts_init(struct cupool_kv *pool);
void kv_fronts_done(struct cupool_kv *pool);

/** Takes blocks from this processor's front. False: not available here. */
bool kv_front_take(struct cupool_kv *pool, uint32_t count, uint64_t *ret_ids);

/** Puts free blocks in. False: not in here. */
bool kv_front_give(struct cupool_kv *pool, const uint32_t *ids, uint32_t count,
                   uint32_t mutable_blocks, uint32_t complete);

/** Raises the peak after more blocks came into use. The caller holds the pool's lock. */
void kv_fronts_peak(struct cupool_kv *pool);

/** Gives the room below the peak to this processor's front. The caller holds the pool's lock. */
void kv_front_allow(struct cupool_kv *pool);

/** Empties all fronts into the stack and the counters; the pool's lock is held. */
void kv_fronts_drain(struct cupool_kv *pool);

/** The pool's lock and all fronts', emptied. */
int kv_lock_all(struct cupool_kv *pool);
void kv_unlock_all(struct cupool_kv *pool);

void kv_fronts_lock(struct cupool_kv *pool);
void kv_fronts_unlock(struct cupool_kv *pool);

void kv_transit_begin(struct cupool_kv *pool, uint32_t count);
void kv_transit_end(struct cupool_kv *pool, uint32_t count);
uint64_t kv_transit_begun(struct cupool_kv *pool);
uint64_t kv_transit_ended(struct cupool_kv *pool);

#endif
