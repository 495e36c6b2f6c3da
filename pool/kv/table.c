/* SPDX-License-Identifier: MIT */
/*
 * A slot keeps 64 bits of the hash and the first block's number; the full key is in the block's
 * record, so a failed probe stays within the slots.
 */
#include "pool/kv/table.h"

#include <errno.h>
#include <string.h>

int kv_table_init(struct kv_table *table, struct kv_heap *heap, struct kv_record *records,
                  uint32_t blocks)
{
    uint64_t slots = 16;

    while (slots < 2 * (uint64_t)blocks)
        slots *= 2;
    if (slots > UINT64_C(1) << 31)
        return -EINVAL;
    table->slots = kv_heap_allocate(heap, slots, sizeof(*table->slots));
    if (!table->slots)
        return -ENOMEM;
    for (uint64_t slot = 0; slot < slots; slot++)
        table->slots[slot].block = KV_NONE;
    table->records = records;
    table->mask = (uint32_t)slots - 1;
    return 0;
}

static bool key_half_equal(const struct cupool_kv_hash *a, const struct cupool_kv_hash *b)
{
    return memcmp(a->bytes, b->bytes, 16) == 0;
}

/* Returns the slot with this tag and first half, or the empty one where it would be. */
static uint32_t slot_find(const struct kv_table *table, const struct cupool_kv_hash *key,
                          uint64_t tag)
{
    uint32_t at = (uint32_t)tag & table->mask;

    for (;; at = (at + 1) & table->mask) {
        const struct kv_slot *slot = &table->slots[at];

        if (slot->block == KV_NONE ||
            (slot->tag == tag && key_half_equal(&table->records[slot->block].key, key)))
            return at;
    }
}

uint32_t kv_table_find(const struct kv_table *table, const struct cupool_kv_hash *key,
                       bool *ret_collision)
{
    uint32_t block = table->slots[slot_find(table, key, kv_table_tag(key))].block;

    if (block == KV_NONE)
        return KV_NONE;
    if (memcmp(table->records[block].key.bytes + 16, key->bytes + 16, 16) == 0)
        return block;
    if (ret_collision)
        *ret_collision = true;
    return KV_NONE;
}

bool kv_table_insert(struct kv_table *table, uint32_t block)
{
    struct kv_record *record = &table->records[block], *first;
    uint64_t tag = kv_table_tag(&record->key);
    struct kv_slot *slot = &table->slots[slot_find(table, &record->key, tag)];

    record->same_previous = record->same_next = KV_NONE;
    if (slot->block == KV_NONE) {
        *slot = (struct kv_slot){.tag = tag, .block = block};
        table->entries++;
        return false;
    }
    first = &table->records[slot->block];
    record->same_previous = slot->block;
    record->same_next = first->same_next;
    if (first->same_next != KV_NONE)
        table->records[first->same_next].same_previous = block;
    first->same_next = block;
    return true;
}

/* Closes the gap at a slot: entries that probed across it move up. */
static void slot_close(struct kv_table *table, uint32_t hole)
{
    uint32_t at = hole;

    for (;;) {
        at = (at + 1) & table->mask;
        const struct kv_slot *slot = &table->slots[at];
        if (slot->block == KV_NONE)
            break;
        uint32_t home = (uint32_t)slot->tag & table->mask;
        if (((at - home) & table->mask) >= ((at - hole) & table->mask)) {
            table->slots[hole] = *slot;
            hole = at;
        }
    }
    table->slots[hole].block = KV_NONE;
}

bool kv_table_remove(struct kv_table *table, uint32_t block)
{
    struct kv_record *record = &table->records[block];

    if (record->same_next != KV_NONE)
        table->records[record->same_next].same_previous = record->same_previous;
    if (record->same_previous != KV_NONE) {
        table->records[record->same_previous].same_next = record->same_next;
        return false;
    }
    uint32_t at = slot_find(table, &record->key, kv_table_tag(&record->key));
    if (record->same_next != KV_NONE) {
        table->slots[at].block = record->same_next;
        return false;
    }
    slot_close(table, at);
    table->entries--;
    return true;
}
