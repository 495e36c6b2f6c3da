/* SPDX-License-Identifier: MIT */
/*
 * Entries in one array, chained by key and, once stored, in order of last use.
 */
#include "pool/tier/index.h"

#include <errno.h>
#include <string.h>

int tier_index_init(struct tier_index *index, struct kv_heap *heap, uint32_t entries,
                    uint64_t budget)
{
    uint32_t buckets = 16;

    while (buckets < entries && buckets < UINT32_C(1) << 30)
        buckets *= 2;
    *index = (struct tier_index){.capacity = entries,
                                 .mask = buckets - 1,
                                 .budget = budget,
                                 .free = entries > 0 ? 0 : TIER_NONE,
                                 .oldest = TIER_NONE,
                                 .newest = TIER_NONE};
    index->entries = kv_heap_allocate(heap, entries, sizeof(*index->entries));
    index->buckets = kv_heap_allocate(heap, buckets, sizeof(*index->buckets));
    if (!index->entries || !index->buckets)
        return -ENOMEM;
    for (uint32_t at = 0; at < buckets; at++)
        index->buckets[at] = TIER_NONE;
    for (uint32_t at = 0; at < entries; at++)
        index->entries[at].chain = at + 1 < entries ? at + 1 : TIER_NONE;
    return 0;
}

static uint32_t *bucket_of(const struct tier_index *index, const struct cupool_kv_hash *key)
{
    uint64_t word;

    memcpy(&word, key->bytes, sizeof(word));
    word *= UINT64_C(0x9e3779b97f4a7c15);
    return &index->buckets[(uint32_t)(word >> 32) & index->mask];
}

uint32_t tier_index_find(const struct tier_index *index, const struct cupool_kv_hash *key)
{
    uint32_t at = *bucket_of(index, key);

    while (at != TIER_NONE && memcmp(&index->entries[at].key, key, sizeof(*key)) != 0)
        at = index->entries[at].chain;
    return at;
}

static void order_append(struct tier_index *index, uint32_t at)
{
    struct tier_entry *entry = &index->entries[at];

    entry->previous = index->newest;
    entry->next = TIER_NONE;
    if (index->newest != TIER_NONE)
        index->entries[index->newest].next = at;
    else
        index->oldest = at;
    index->newest = at;
}

static void order_prepend(struct tier_index *index, uint32_t at)
{
    struct tier_entry *entry = &index->entries[at];

    entry->previous = TIER_NONE;
    entry->next = index->oldest;
    if (index->oldest != TIER_NONE)
        index->entries[index->oldest].previous = at;
    else
        index->newest = at;
    index->oldest = at;
}

static void order_remove(struct tier_index *index, uint32_t at)
{
    const struct tier_entry *entry = &index->entries[at];

    if (entry->previous != TIER_NONE)
        index->entries[entry->previous].next = entry->next;
    else
        index->oldest = entry->next;
    if (entry->next != TIER_NONE)
        index->entries[entry->next].previous = entry->previous;
    else
        index->newest = entry->previous;
}

static void touch(struct tier_index *index, uint32_t at)
{
    order_remove(index, at);
    order_append(index, at);
}

static uint32_t entry_new(struct tier_index *index, const struct cupool_kv_hash *key)
{
    uint32_t at = index->free, *bucket = bucket_of(index, key);
    struct tier_entry *entry = &index->entries[at];

    index->free = entry->chain;
    *entry = (struct tier_entry){.key = *key, .chain = *bucket};
    *bucket = at;
    index->count++;
    return at;
}

static void entry_free(struct tier_index *index, uint32_t at)
{
    struct tier_entry *entry = &index->entries[at];
    uint32_t *link = bucket_of(index, &entry->key);

    while (*link != at)
        link = &index->entries[*link].chain;
    *link = entry->chain;
    index->charged -= entry->charge;
    index->count--;
    *entry = (struct tier_entry){.chain = index->free};
    index->free = at;
}

/* A stored entry goes out of service. */
static void removal_begin(struct tier_index *index, uint32_t at)
{
    order_remove(index, at);
    index->entries[at].state = TIER_REMOVING;
    index->removing++;
}

/* Finds the entry not used for longest that is not being read and does not belong to this call. */
static uint32_t victim_take(struct tier_index *index, uint64_t batch)
{
    uint32_t at = index->oldest;

    while (at != TIER_NONE &&
           (index->entries[at].pins > 0 || (batch != 0 && index->entries[at].batch == batch)))
        at = index->entries[at].next;
    if (at != TIER_NONE) {
        removal_begin(index, at);
        index->evictions++;
    }
    return at;
}

int tier_index_begin(struct tier_index *index, const struct cupool_kv_hash *key, uint64_t batch,
                     bool evict, uint32_t *ret_entry)
{
    uint32_t at = tier_index_find(index, key);

    if (at != TIER_NONE) {
        struct tier_entry *entry = &index->entries[at];

        if (entry->state == TIER_REMOVING || entry->doomed)
            return -EBUSY;
        entry->batch = batch;
        if (entry->state == TIER_STORING)
            return -EINPROGRESS;
        touch(index, at);
        return -EEXIST;
    }
    if (index->free == TIER_NONE) {
        if (!evict)
            return -EAGAIN;
        uint32_t victim = victim_take(index, batch);
        if (victim == TIER_NONE)
            return -ENOSPC;
        *ret_entry = victim;
        return -EAGAIN;
    }
    at = entry_new(index, key);
    index->entries[at].state = TIER_STORING;
    index->entries[at].batch = batch;
    index->entries[at].begun = ++index->begun;
    index->storing++;
    *ret_entry = at;
    return 0;
}

int tier_index_room(struct tier_index *index, uint32_t entry, uint64_t charge, uint32_t *ret_victim)
{
    struct tier_entry *stored = &index->entries[entry];

    if (charge > index->budget)
        return -ENOSPC;
    if (index->charged - stored->charge <= index->budget - charge) {
        index->charged += charge - stored->charge;
        stored->charge = charge;
        return 0;
    }
    return tier_index_victim(index, entry, ret_victim);
}

int tier_index_victim(struct tier_index *index, uint32_t entry, uint32_t *ret_victim)
{
    uint32_t victim = victim_take(index, index->entries[entry].batch);

    if (victim == TIER_NONE)
        return -ENOSPC;
    *ret_victim = victim;
    return -EAGAIN;
}

void tier_index_end(struct tier_index *index, uint32_t entry, uint64_t token, bool stored)
{
    index->storing--;
    if (!stored) {
        entry_free(index, entry);
        return;
    }
    index->entries[entry].token = token;
    index->entries[entry].state = TIER_STORED;
    order_append(index, entry);
}

int tier_index_adopt(struct tier_index *index, const struct cupool_kv_hash *key, uint64_t charge,
                     uint64_t token)
{
    if (tier_index_find(index, key) != TIER_NONE)
        return -EEXIST;
    if (index->free == TIER_NONE || charge > index->budget - index->charged)
        return -ENOSPC;
    uint32_t at = entry_new(index, key);
    index->entries[at].charge = charge;
    index->entries[at].token = token;
    index->entries[at].state = TIER_STORED;
    index->charged += charge;
    order_prepend(index, at);
    return 0;
}

int tier_index_pin(struct tier_index *index, const struct cupool_kv_hash *key, uint32_t *ret_entry)
{
    uint32_t at = tier_index_find(index, key);

    if (at == TIER_NONE || index->entries[at].state == TIER_REMOVING || index->entries[at].doomed)
        return -ENOENT;
    if (index->entries[at].state == TIER_STORING)
        return -EINPROGRESS;
    index->pinned += index->entries[at].pins++ == 0;
    touch(index, at);
    *ret_entry = at;
    return 0;
}

bool tier_index_unpin(struct tier_index *index, uint32_t entry)
{
    struct tier_entry *stored = &index->entries[entry];

    if (--stored->pins > 0)
        return false;
    index->pinned--;
    if (!stored->doomed)
        return false;
    removal_begin(index, entry);
    return true;
}

bool tier_index_forget(struct tier_index *index, const struct cupool_kv_hash *key,
                       uint32_t *ret_entry)
{
    uint32_t at = tier_index_find(index, key);

    if (at == TIER_NONE || index->entries[at].state != TIER_STORED)
        return false;
    if (index->entries[at].pins > 0) {
        index->entries[at].doomed = true;
        return false;
    }
    removal_begin(index, at);
    *ret_entry = at;
    return true;
}

void tier_index_removed(struct tier_index *index, uint32_t entry)
{
    index->removing--;
    entry_free(index, entry);
}

double tier_index_usage(const struct tier_index *index)
{
    return index->budget == 0 ? 0 : (double)index->charged / (double)index->budget;
}

static const char *order_check(const struct tier_index *index, uint32_t stored)
{
    uint32_t count = 0, before = TIER_NONE;

    for (uint32_t at = index->oldest; at != TIER_NONE && count <= index->capacity;
         at = index->entries[at].next) {
        if (index->entries[at].state != TIER_STORED)
            return "tier: the order holds an entry that is not stored";
        if (index->entries[at].previous != before)
            return "tier: broken links in the order";
        before = at;
        count++;
    }
    return count == stored && before == index->newest
               ? NULL
               : "tier: entries of the order differ from the stored entries";
}

const char *tier_index_check(const struct tier_index *index)
{
    uint64_t charged = 0;
    uint32_t counts[4] = {0}, pinned = 0;

    for (uint32_t at = 0; at < index->capacity; at++) {
        const struct tier_entry *entry = &index->entries[at];

        counts[entry->state]++;
        charged += entry->charge;
        pinned += entry->pins > 0;
        if (entry->pins > 0 && entry->state != TIER_STORED)
            return "tier: an entry being read is not stored";
        if (entry->state != TIER_FREE && tier_index_find(index, &entry->key) != at)
            return "tier: an entry is not found by its key";
    }
    if (charged != index->charged || charged > index->budget)
        return "tier: charged bytes differ from the entries, or exceed the budget";
    if (counts[TIER_STORING] != index->storing || counts[TIER_REMOVING] != index->removing ||
        pinned != index->pinned || index->capacity - counts[TIER_FREE] != index->count)
        return "tier: counts of entries differ from the entries";
    return order_check(index, counts[TIER_STORED]);
}
