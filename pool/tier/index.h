/* SPDX-License-Identifier: MIT */
/*
 * The content of a tier: an entry for each key, its state, its readers, and the order of eviction.
 *
 *     begin -> storing -> room -> end -> stored <-> loads pin it
 *                 | failed              | victim, or forgotten and unpinned
 *                 v                     v
 *               (none)               removing -> removed
 *
 * An entry that is being stored is not served and not evicted. One that is being removed is not
 * served either, and its key cannot be stored until it is gone. Bytes are charged from their
 * reservation until the entry is gone, so a tier never exceeds its budget.
 *
 * Invariants (tier_index_check): charged bytes = sum over entries <= budget; the order holds the
 * stored entries and no others; an entry of the table <=> an entry that is not free.
 *
 * Threading: the owner's lock guards it.
 */
#ifndef POOL_TIER_INDEX_H
#define POOL_TIER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "include/cupool/identity.h"
#include "pool/kv/heap.h"

#define TIER_NONE UINT32_MAX

enum tier_state { TIER_FREE, TIER_STORING, TIER_STORED, TIER_REMOVING };

struct tier_entry {
    struct cupool_kv_hash key;
    uint64_t charge, token; /* token: what the store left with it */
    uint64_t batch;         /* the last call that stored or asked to store it */
    uint64_t begun;         /* number of the store that began it */
    uint32_t previous, next, chain;
    uint32_t pins;
    uint8_t state;
    bool doomed; /* goes when the last load has ended */
    bool exact;  /* stored without loss, where others are not: the owner's to set and read */
};

struct tier_index {
    struct tier_entry *entries;
    uint32_t *buckets;
    uint32_t capacity, mask, free, count;
    uint32_t oldest, newest;
    uint32_t storing, removing, pinned;
    uint64_t budget, charged;
    uint64_t evictions, begun;
};

/** Creates the index of a tier of at most `entries` entries and `budget` bytes. -ENOMEM. */
int tier_index_init(struct tier_index *index, struct kv_heap *heap, uint32_t entries,
                    uint64_t budget);

/** Returns the entry of a key, in any state; TIER_NONE if there is none. */
uint32_t tier_index_find(const struct tier_index *index, const struct cupool_kv_hash *key);

/**
 * Begins to store a key for a call. -EEXIST: it is here, and was touched; -EINPROGRESS: somebody
 * stores it; -EBUSY: it is being removed; -ENOSPC: no entry is free; -EAGAIN: no entry is free,
 * but with `evict`, remove `ret_entry` first and ask again.
 */
int tier_index_begin(struct tier_index *index, const struct cupool_kv_hash *key, uint64_t batch,
                     bool evict, uint32_t *ret_entry);

/**
 * Reserves bytes for an entry that is being stored. -EAGAIN: remove `ret_victim` first, then ask
 * again; -ENOSPC: all candidates belong to the same call, are being read, or are not enough.
 */
int tier_index_room(struct tier_index *index, uint32_t entry, uint64_t charge,
                    uint32_t *ret_victim);

/** Gives up an entry because the store has no room for it after all. As tier_index_room(). */
int tier_index_victim(struct tier_index *index, uint32_t entry, uint32_t *ret_victim);

/** The entry is stored, or the attempt failed and it was never there. */
void tier_index_end(struct tier_index *index, uint32_t entry, uint64_t token, bool stored);

/** Adds an entry that the store has from before, as the least recently used. -ENOSPC, -EEXIST. */
int tier_index_adopt(struct tier_index *index, const struct cupool_kv_hash *key, uint64_t charge,
                     uint64_t token);

/** Pins an entry to read it. -ENOENT; -EINPROGRESS: it is being stored. */
int tier_index_pin(struct tier_index *index, const struct cupool_kv_hash *key, uint32_t *ret_entry);

/** Ends a read. True: the entry has to be removed now. */
bool tier_index_unpin(struct tier_index *index, uint32_t entry);

/** Forgets a key. True: `ret_entry` has to be removed now; else its last reader does that. */
bool tier_index_forget(struct tier_index *index, const struct cupool_kv_hash *key,
                       uint32_t *ret_entry);

/** What was to be removed is gone. */
void tier_index_removed(struct tier_index *index, uint32_t entry);

/** Fraction of the budget that is charged; 0 for a tier without a budget. */
double tier_index_usage(const struct tier_index *index);

/** NULL, or the violated invariant. */
const char *tier_index_check(const struct tier_index *index);

#endif
