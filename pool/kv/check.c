/* SPDX-License-Identifier: MIT */
/*
 * Walks everything and names the first broken invariant.
 *
 * Blocks in transit between a caller and the stack are in no place. Their number is known, so the
 * sums hold up to that number while other threads' calls are in progress.
 */
#include <errno.h>
#include <string.h>

#include "pool/base/why.h"
#include "pool/kv/kv.h"

struct walk {
    struct cupool_kv *pool;
    struct why why;
    uint64_t ended; /* transits that were over before the walk */
};

static void place_check(struct walk *walk, uint32_t id, enum cupool_kv_state state,
                        const char *place)
{
    struct cupool_kv *pool = walk->pool;

    if (!holds(&walk->why, id >= pool->first && id < pool->slots, "%s: no block %u", place, id))
        return;
    struct kv_record *record = &pool->records[id];
    uint64_t word = kv_load(record);
    holds(&walk->why, kv_state(word) == state && kv_references(word) == 0,
          "%s: block %u has state %d and %u references", place, id, kv_state(word),
          kv_references(word));
    holds(&walk->why, !(record->flags & KV_FLAG_BATCH), "%s: block %u is listed twice", place, id);
    record->flags |= KV_FLAG_BATCH;
}

static void order_block(void *state, uint32_t block)
{
    struct walk *walk = state;
    struct kv_record *record = &walk->pool->records[block];

    place_check(walk, block, CUPOOL_KV_INACTIVE, "order");
    holds(&walk->why, !(record->flags & KV_FLAG_PINNED), "block %u is pinned and evictable", block);
    holds(&walk->why, record->bucket != KV_BUCKET_NONE, "block %u is in the order, but in no list",
          block);
}

static void fences_check(struct walk *walk)
{
    struct cupool_kv *pool = walk->pool;
    struct kv_fences *fences = &pool->fences;
    uint32_t entries = 0, draining = 0;

    for (uint32_t at = fences->count > 0 ? fences->oldest : 0; at != 0 && !walk->why.broken;
         at = fences->entries[at - 1].newer) {
        entries++;
        for (uint32_t id = fences->entries[at - 1].first; id != KV_NONE && !walk->why.broken;
             id = pool->records[id].next) {
            place_check(walk, id, CUPOOL_KV_FREE, "fence");
            draining++;
        }
    }
    holds(&walk->why, entries == fences->count, "fences: %u found, %u counted", entries,
          fences->count);
    holds(&walk->why, draining == pool->draining,
          "blocks that wait for fences: %u found, %u counted", draining, pool->draining);
}

/* The table leads to a registered block, and says which is first. */
static void registered_check(struct walk *walk, struct kv_record *record, uint32_t *entries)
{
    struct cupool_kv *pool = walk->pool;
    uint32_t id = kv_id(pool, record), seen = 0;
    uint32_t at = kv_table_find(&pool->table, &record->key, NULL);

    *entries += at == id;
    for (; at != KV_NONE && at != id && seen <= pool->slots; seen++)
        at = pool->records[at].same_next;
    holds(&walk->why, at == id, "registered block %u is not in the table", id);
}

static void blocks_check(struct walk *walk)
{
    struct cupool_kv *pool = walk->pool;
    uint64_t counts[16] = {0};
    uint32_t entries = 0, pinned = 0;

    for (uint32_t id = pool->first; id < pool->slots && !walk->why.broken; id++) {
        struct kv_record *record = &pool->records[id];
        uint64_t word = kv_load(record);
        enum cupool_kv_state state = kv_state(word);
        bool referenced = kv_references(word) > 0;

        counts[state]++;
        holds(&walk->why,
              referenced == (state == CUPOOL_KV_MUTABLE || state == CUPOOL_KV_COMPLETE ||
                             state == CUPOOL_KV_ACTIVE),
              "block %u has state %d and %u references", id, state, kv_references(word));
        holds(&walk->why, !((record->flags & KV_FLAG_BATCH) && referenced),
              "block %u is referenced and listed as free", id);
        if (state == CUPOOL_KV_ACTIVE || state == CUPOOL_KV_INACTIVE)
            registered_check(walk, record, &entries);
        pinned += state == CUPOOL_KV_INACTIVE && (record->flags & KV_FLAG_PINNED);
        record->flags &= (uint8_t)~KV_FLAG_BATCH;
    }
    holds(&walk->why, entries == pool->table.entries, "hashes: %u found, %u in the table", entries,
          pool->table.entries);
    holds(&walk->why, pinned == pool->pinned, "pinned blocks: %u found, %u counted", pinned,
          pool->pinned);
    holds(&walk->why, counts[CUPOOL_KV_INACTIVE] == pool->order.count + pool->pinned,
          "inactive blocks: %llu found, %u counted", (unsigned long long)counts[CUPOOL_KV_INACTIVE],
          pool->order.count + pool->pinned);
    holds(&walk->why, counts[CUPOOL_KV_ACTIVE] == pool->active,
          "active blocks: %llu found, %u counted", (unsigned long long)counts[CUPOOL_KV_ACTIVE],
          pool->active);
    holds(&walk->why, counts[CUPOOL_KV_RETIRED] == pool->retired,
          "retired blocks: %llu found, %u counted", (unsigned long long)counts[CUPOOL_KV_RETIRED],
          pool->retired);
    if (walk->ended != kv_transit_begun(pool))
        return; /* something was under way meanwhile */
    holds(&walk->why,
          counts[CUPOOL_KV_MUTABLE] == pool->mutable_blocks &&
              counts[CUPOOL_KV_COMPLETE] == pool->complete,
          "mutable and complete blocks: %llu and %llu found, %u and %u counted",
          (unsigned long long)counts[CUPOOL_KV_MUTABLE],
          (unsigned long long)counts[CUPOOL_KV_COMPLETE], pool->mutable_blocks, pool->complete);
    holds(&walk->why, counts[CUPOOL_KV_FREE] == (uint64_t)pool->stack_count + pool->draining,
          "free blocks: %llu found, %u counted", (unsigned long long)counts[CUPOOL_KV_FREE],
          pool->stack_count + pool->draining);
}

static void waiters_check(struct walk *walk)
{
    struct cupool_kv *pool = walk->pool;
    uint32_t waiting = 0;

    for (uint32_t at = pool->wait_first; at != KV_NONE; at = pool->requests[at].next)
        waiting++;
    holds(&walk->why, waiting == atomic_load(&pool->waiting),
          "waiting requests: %u found, %u counted", waiting, atomic_load(&pool->waiting));
    holds(&walk->why, pool->window_hits <= pool->window_queries, "more hits than queries");
}

int cupool_kv_check(struct cupool_kv *pool, char *why, size_t why_bytes)
{
    struct walk walk = {.pool = pool, .why = {.text = why, .bytes = why_bytes}};
    int error = kv_lock_all(pool);

    if (error < 0)
        return error;
    walk.ended = kv_transit_ended(pool);
    for (uint32_t at = 0; at < pool->stack_count && !walk.why.broken; at++) {
        place_check(&walk, pool->stack[at], CUPOOL_KV_FREE, "stack");
        holds(&walk.why, pool->stack[at] < pool->limit, "block %u should have retired",
              pool->stack[at]);
    }
    const char *problem = kv_order_problem(&pool->order);
    holds(&walk.why, !*problem, "%s", problem);
    kv_order_each(&pool->order, order_block, &walk);
    fences_check(&walk);
    blocks_check(&walk);
    waiters_check(&walk);
    kv_unlock_all(pool);
    return walk.why.broken ? kv_fail(pool, -EFAULT, "an invariant is broken") : 0;
}
