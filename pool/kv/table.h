/* SPDX-License-Identifier: MIT */
/*
 * Maps a hash to its first block: open addressing, linear probing, slots of 16 bytes, at most half
 * full. Blocks with one hash form a doubly linked list through their records. Removal shifts later
 * entries back, so there are no tombstones.
 *
 * Threading: guarded by the pool's lock.
 */
#ifndef POOL_KV_TABLE_H
#define POOL_KV_TABLE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool/kv/heap.h"
#include "pool/kv/record.h"

struct kv_slot {
    uint64_t tag;   /* mixed from the first 16 bytes of the key; decides the place */
    uint32_t block; /* KV_NONE: empty */
    uint32_t spare;
};

static_assert(sizeof(struct kv_slot) == 16, "four slots a cache line");

struct kv_table {
    struct kv_slot *slots;
    struct kv_record *records;
    uint32_t mask;
    uint32_t entries; /* different hashes */
};

int kv_table_init(struct kv_table *table, struct kv_heap *heap, struct kv_record *records,
                  uint32_t blocks);

static inline uint64_t kv_table_tag(const struct cupool_kv_hash *key)
{
    uint64_t low, high, tag;

    __builtin_memcpy(&low, key->bytes, 8);
    __builtin_memcpy(&high, key->bytes + 8, 8);
    tag = (low ^ (high << 32 | high >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    return tag ^ tag >> 29;
}

static inline void kv_table_prefetch(const struct kv_table *table, uint64_t tag)
{
    __builtin_prefetch(&table->slots[tag & table->mask]);
}

/** Prefetches the record that a tag leads to; its slots have been prefetched. */
static inline void kv_table_prefetch_record(const struct kv_table *table, uint64_t tag)
{
    uint32_t at = (uint32_t)tag & table->mask;

    while (table->slots[at].block != KV_NONE && table->slots[at].tag != tag)
        at = (at + 1) & table->mask;
    if (table->slots[at].block != KV_NONE)
        __builtin_prefetch(&table->records[table->slots[at].block], 1);
}

/** Returns the first block with this key; KV_NONE if there is none. ret_collision, unless NULL:
 * the first half matched with another second half. */
uint32_t kv_table_find(const struct kv_table *table, const struct cupool_kv_hash *key,
                       bool *ret_collision);

/** Inserts a block by its record's key, behind others with that key. True if there were any. */
bool kv_table_insert(struct kv_table *table, uint32_t block);

/** Removes a block. True if it was the last with its key. */
bool kv_table_remove(struct kv_table *table, uint32_t block);

#endif
