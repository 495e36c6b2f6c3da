/* SPDX-License-Identifier: MIT */
/*
 * The order of eviction of cached blocks.
 *
 * LRU and priorities use lists through the records, one for each priority, with a bitmap of
 * nonempty ones; a heap orders expiring priorities by time. A custom policy uses a heap by rank;
 * equal ranks are ordered by arrival.
 *
 * Threading: guarded by the pool's lock.
 */
#ifndef POOL_KV_ORDER_H
#define POOL_KV_ORDER_H

#include <stdint.h>

#include "pool/kv/heap.h"
#include "pool/kv/record.h"

#define KV_BUCKETS (CUPOOL_KV_PRIORITY_MAX + 1)

struct kv_ranked {
    uint64_t rank, serial;
    uint32_t block;
};

/** A binary heap with the position of each block. */
struct kv_ranking {
    struct kv_ranked *entries;
    uint32_t *positions; /* by block, plus 1; 0: not in the heap */
    uint32_t count;
};

struct kv_order {
    struct kv_record *records;
    enum cupool_kv_policy policy;
    uint32_t heads[KV_BUCKETS], tails[KV_BUCKETS];
    uint64_t filled[2]; /* a bit for each bucket that holds something */
    uint32_t count;
    uint64_t serial;
    struct kv_ranking ranks;    /* custom */
    struct kv_ranking expiries; /* priority */
};

int kv_order_init(struct kv_order *order, struct kv_heap *heap, struct kv_record *records,
                  uint32_t blocks, enum cupool_kv_policy policy);

/** Appends a block: `priority` selects its list, `rank` its place with a custom policy; unless
 * `expires_ns` is 0, the priority ends then. */
void kv_order_insert(struct kv_order *order, uint32_t block, uint32_t priority, uint64_t rank,
                     uint64_t expires_ns);

void kv_order_remove(struct kv_order *order, uint32_t block);

/** Blocks that leave the order in one call. Neighbours in a list are unlinked together, so the
 * order must not be read before kv_order_run_end(). */
struct kv_order_run {
    uint32_t first, last; /* in the order of the list; KV_NONE: none */
    uint32_t bucket, count;
};

void kv_order_run_end(struct kv_order *order, struct kv_order_run *run);

static inline void kv_order_run_add(struct kv_order *order, struct kv_order_run *run,
                                    uint32_t block)
{
    struct kv_record *record = &order->records[block];

    if (order->policy == CUPOOL_KV_CUSTOM || (record->priority & KV_PRIORITY_EXPIRES)) {
        kv_order_remove(order, block);
        return;
    }
    /* A sequence is listed tail first, and matched from its head. */
    if (run->first != KV_NONE && record->next == run->first) {
        run->first = block;
    } else {
        kv_order_run_end(order, run);
        run->first = run->last = block;
        run->bucket = record->bucket;
    }
    record->bucket = KV_BUCKET_NONE;
    run->count++;
}

/** Returns the next victim; KV_NONE if there is none. */
uint32_t kv_order_first(const struct kv_order *order);

/** Removes the first, so that it can be restored in front (kv_order_restore, newest first). */
uint32_t kv_order_take(struct kv_order *order, uint64_t *ret_rank, uint64_t *ret_serial);
void kv_order_restore(struct kv_order *order, uint32_t block, uint64_t rank, uint64_t serial);

/** Returns a block with a priority that has expired by `now_ns`; KV_NONE if there is none. */
uint32_t kv_order_expired(const struct kv_order *order, uint64_t now_ns);

/** Returns the violated invariant of the lists; "" if there is none. */
const char *kv_order_problem(const struct kv_order *order);

/** Calls back for each block, in no order. */
void kv_order_each(const struct kv_order *order, void (*act)(void *state, uint32_t block),
                   void *state);

#endif
