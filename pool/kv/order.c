/* SPDX-License-Identifier: MIT */
/*
 * One interface for two structures: lists for LRU and priorities, a heap for ranks. A block in the
 * order has a bucket; with a custom policy bucket 0 stands for the heap.
 */
#include "pool/kv/order.h"

#include <errno.h>

static bool ranked_before(const struct kv_ranked *a, const struct kv_ranked *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->serial < b->serial;
}

static void ranking_place(struct kv_ranking *ranking, uint32_t at, struct kv_ranked entry)
{
    ranking->entries[at] = entry;
    ranking->positions[entry.block] = at + 1;
}

static void ranking_up(struct kv_ranking *ranking, uint32_t at, struct kv_ranked entry)
{
    while (at > 0 && ranked_before(&entry, &ranking->entries[(at - 1) / 2])) {
        ranking_place(ranking, at, ranking->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    ranking_place(ranking, at, entry);
}

static void ranking_down(struct kv_ranking *ranking, uint32_t at, struct kv_ranked entry)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)at + 1;

        if (child >= ranking->count)
            break;
        if (child + 1 < ranking->count &&
            ranked_before(&ranking->entries[child + 1], &ranking->entries[child]))
            child++;
        if (!ranked_before(&ranking->entries[child], &entry))
            break;
        ranking_place(ranking, at, ranking->entries[child]);
        at = (uint32_t)child;
    }
    ranking_place(ranking, at, entry);
}

static void ranking_insert(struct kv_ranking *ranking, uint32_t block, uint64_t rank,
                           uint64_t serial)
{
    ranking_up(ranking, ranking->count++,
               (struct kv_ranked){.rank = rank, .serial = serial, .block = block});
}

static void ranking_remove(struct kv_ranking *ranking, uint32_t block)
{
    uint32_t at = ranking->positions[block];
    struct kv_ranked last;

    if (at == 0)
        return;
    ranking->positions[block] = 0;
    last = ranking->entries[--ranking->count];
    if (--at == ranking->count)
        return;
    if (at > 0 && ranked_before(&last, &ranking->entries[(at - 1) / 2]))
        ranking_up(ranking, at, last);
    else
        ranking_down(ranking, at, last);
}

static int ranking_init(struct kv_ranking *ranking, struct kv_heap *heap, uint32_t blocks)
{
    ranking->entries = kv_heap_allocate(heap, blocks, sizeof(*ranking->entries));
    ranking->positions = kv_heap_allocate(heap, blocks, sizeof(*ranking->positions));
    return !ranking->entries || !ranking->positions ? -ENOMEM : 0;
}

int kv_order_init(struct kv_order *order, struct kv_heap *heap, struct kv_record *records,
                  uint32_t blocks, enum cupool_kv_policy policy)
{
    order->records = records;
    order->policy = policy;
    for (uint32_t bucket = 0; bucket < KV_BUCKETS; bucket++)
        order->heads[bucket] = order->tails[bucket] = KV_NONE;
    if (policy == CUPOOL_KV_CUSTOM)
        return ranking_init(&order->ranks, heap, blocks);
    return policy == CUPOOL_KV_PRIORITY ? ranking_init(&order->expiries, heap, blocks) : 0;
}

static void list_append(struct kv_order *order, uint32_t bucket, uint32_t block)
{
    struct kv_record *record = &order->records[block];

    record->next = KV_NONE;
    record->previous = order->tails[bucket];
    if (record->previous != KV_NONE)
        order->records[record->previous].next = block;
    else
        order->heads[bucket] = block;
    order->tails[bucket] = block;
    order->filled[bucket / 64] |= UINT64_C(1) << bucket % 64;
}

static void list_prepend(struct kv_order *order, uint32_t bucket, uint32_t block)
{
    struct kv_record *record = &order->records[block];

    record->previous = KV_NONE;
    record->next = order->heads[bucket];
    if (record->next != KV_NONE)
        order->records[record->next].previous = block;
    else
        order->tails[bucket] = block;
    order->heads[bucket] = block;
    order->filled[bucket / 64] |= UINT64_C(1) << bucket % 64;
}

/* Links the neighbours of blocks that leave a list. */
static void list_join(struct kv_order *order, uint32_t bucket, uint32_t previous, uint32_t next)
{
    if (previous != KV_NONE)
        order->records[previous].next = next;
    else
        order->heads[bucket] = next;
    if (next != KV_NONE)
        order->records[next].previous = previous;
    else
        order->tails[bucket] = previous;
    if (order->heads[bucket] == KV_NONE)
        order->filled[bucket / 64] &= ~(UINT64_C(1) << bucket % 64);
}

void kv_order_insert(struct kv_order *order, uint32_t block, uint32_t priority, uint64_t rank,
                     uint64_t expires_ns)
{
    uint32_t bucket = order->policy == CUPOOL_KV_PRIORITY ? priority : 0;

    order->records[block].bucket = (uint8_t)bucket;
    order->count++;
    order->serial++;
    if (order->policy == CUPOOL_KV_CUSTOM) {
        ranking_insert(&order->ranks, block, rank, order->serial);
        return;
    }
    list_append(order, bucket, block);
    if (order->policy == CUPOOL_KV_PRIORITY && expires_ns != 0)
        ranking_insert(&order->expiries, block, expires_ns, order->serial);
}

void kv_order_remove(struct kv_order *order, uint32_t block)
{
    struct kv_record *record = &order->records[block];

    if (order->policy == CUPOOL_KV_CUSTOM)
        ranking_remove(&order->ranks, block);
    else
        list_join(order, record->bucket, record->previous, record->next);
    if (order->policy == CUPOOL_KV_PRIORITY)
        ranking_remove(&order->expiries, block);
    record->bucket = KV_BUCKET_NONE;
    order->count--;
}

void kv_order_run_end(struct kv_order *order, struct kv_order_run *run)
{
    if (run->first != KV_NONE)
        list_join(order, run->bucket, order->records[run->first].previous,
                  order->records[run->last].next);
    order->count -= run->count;
    run->first = run->last = KV_NONE;
    run->count = 0;
}

uint32_t kv_order_first(const struct kv_order *order)
{
    if (order->count == 0)
        return KV_NONE;
    if (order->policy == CUPOOL_KV_CUSTOM)
        return order->ranks.entries[0].block;
    if (order->filled[0] != 0)
        return order->heads[__builtin_ctzll(order->filled[0])];
    return order->heads[64 + __builtin_ctzll(order->filled[1])];
}

uint32_t kv_order_take(struct kv_order *order, uint64_t *ret_rank, uint64_t *ret_serial)
{
    uint32_t block = kv_order_first(order);

    if (block == KV_NONE)
        return KV_NONE;
    *ret_rank = order->records[block].bucket;
    *ret_serial = 0;
    if (order->policy == CUPOOL_KV_CUSTOM) {
        *ret_rank = order->ranks.entries[0].rank;
        *ret_serial = order->ranks.entries[0].serial;
    } else if (order->policy == CUPOOL_KV_PRIORITY && order->expiries.positions[block] != 0) {
        *ret_serial = order->expiries.entries[order->expiries.positions[block] - 1].rank;
    }
    kv_order_remove(order, block);
    return block;
}

void kv_order_restore(struct kv_order *order, uint32_t block, uint64_t rank, uint64_t serial)
{
    order->count++;
    if (order->policy == CUPOOL_KV_CUSTOM) {
        order->records[block].bucket = 0;
        ranking_insert(&order->ranks, block, rank, serial);
        return;
    }
    order->records[block].bucket = (uint8_t)rank;
    list_prepend(order, (uint32_t)rank, block);
    if (serial != 0)
        ranking_insert(&order->expiries, block, serial, ++order->serial);
}

uint32_t kv_order_expired(const struct kv_order *order, uint64_t now_ns)
{
    const struct kv_ranking *expiries = &order->expiries;

    return expiries->count > 0 && expiries->entries[0].rank <= now_ns ? expiries->entries[0].block
                                                                      : KV_NONE;
}

static const char *list_problem(const struct kv_order *order, uint32_t bucket, uint32_t *count)
{
    uint32_t previous = KV_NONE;
    bool filled = order->filled[bucket / 64] >> bucket % 64 & 1;

    for (uint32_t block = order->heads[bucket]; block != KV_NONE && *count < order->count;
         previous = block, block = order->records[block].next, ++*count) {
        if (order->records[block].previous != previous)
            return "order: broken links in a list";
        if (order->records[block].bucket != bucket)
            return "order: a block is in the wrong list";
    }
    if (order->tails[bucket] != previous)
        return "order: a list has the wrong tail";
    return filled == (previous != KV_NONE) ? ""
                                           : "order: the bitmap of lists differs from the lists";
}

const char *kv_order_problem(const struct kv_order *order)
{
    const char *problem = "";
    uint32_t count = 0;

    if (order->policy == CUPOOL_KV_CUSTOM)
        return order->ranks.count == order->count
                   ? ""
                   : "order: number of blocks differs from the ranks";
    for (uint32_t bucket = 0; bucket < KV_BUCKETS && !*problem; bucket++)
        problem = list_problem(order, bucket, &count);
    return *problem || count == order->count ? problem
                                             : "order: number of blocks differs from the lists";
}

void kv_order_each(const struct kv_order *order, void (*act)(void *state, uint32_t block),
                   void *state)
{
    for (uint32_t at = 0; order->policy == CUPOOL_KV_CUSTOM && at < order->ranks.count; at++)
        act(state, order->ranks.entries[at].block);
    for (uint32_t bucket = 0; order->policy != CUPOOL_KV_CUSTOM && bucket < KV_BUCKETS; bucket++)
        for (uint32_t block = order->heads[bucket]; block != KV_NONE;
             block = order->records[block].next)
            act(state, block);
}
