/* SPDX-License-Identifier: MIT */
/*
 * The record of a block: 64 bytes, one cache line. kv.h describes who may change which fields.
 */
#ifndef POOL_KV_RECORD_H
#define POOL_KV_RECORD_H

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/cupool/kv.h"

#define KV_NONE UINT32_MAX

#define KV_FLAG_PINNED  1u
#define KV_FLAG_BATCH   2u /* seen in the call under way */
#define KV_FLAG_UNCLEAR 4u /* to be zeroed before it is handed out */
#define KV_FLAG_PARTIAL 8u /* registered for some of its tokens only, and still written */

#define KV_BUCKET_NONE 255u

#define KV_PRIORITY_EXPIRES 128u /* beside the priority: kv_use.expires_ns is not 0 */

struct kv_record {
    _Atomic uint64_t word;             /* generation:32 | state:4 | references:28 */
    uint32_t previous, next;           /* in the order of victims, or a fence's list */
    uint32_t same_previous, same_next; /* blocks of the same hash */
    uint32_t fence;                    /* serial of the last device work on it; 0: none */
    uint8_t priority, flags, bucket;
    int8_t follow; /* id of the block registered behind it less its own; 0: none, or far */
    struct cupool_kv_hash key; /* of a registered block */
};

static_assert(sizeof(struct kv_record) == 64, "a record is a cache line");

/** Rarely used fields of a record. Guarded by the lock. */
struct kv_use {
    uint64_t last_ns;      /* of last use, where the policy or lower tiers ask for it */
    uint64_t expires_ns;   /* of the priority; 0: never */
    uint32_t registration; /* serial of the block's registrations, for weak handles */
    uint32_t hits;
    uint32_t tokens;         /* of a partial entry */
    uint8_t position, below; /* blocks before and behind it in its sequence, as far as tiers ask */
    uint16_t spare;
    uint64_t rank, serial;                /* place in the order, while it is looked at */
    uint32_t parent, parent_registration; /* the block before it, if that is the same still */
};

static inline uint32_t kv_priority(const struct kv_record *record)
{
    return record->priority & ~KV_PRIORITY_EXPIRES;
}

/** Sets a block's priority, and the time when it returns to the default; 0: never. */
static inline void kv_set_priority(struct kv_record *record, struct kv_use *use, uint32_t priority,
                                   uint64_t expires_ns)
{
    use->expires_ns = expires_ns;
    record->priority = (uint8_t)(priority | (expires_ns != 0 ? KV_PRIORITY_EXPIRES : 0));
}

#define KV_REFERENCE       UINT64_C(1)
#define KV_REFERENCES_MASK UINT64_C(0x0fffffff)

static inline uint64_t kv_key_part(const struct cupool_kv_hash *key, unsigned at)
{
    uint64_t part;

    __builtin_memcpy(&part, key->bytes + at * sizeof(part), sizeof(part));
    return part;
}

static inline bool kv_key_equal(const struct cupool_kv_hash *a, const struct cupool_kv_hash *b)
{
    return ((kv_key_part(a, 0) ^ kv_key_part(b, 0)) | (kv_key_part(a, 1) ^ kv_key_part(b, 1)) |
            (kv_key_part(a, 2) ^ kv_key_part(b, 2)) | (kv_key_part(a, 3) ^ kv_key_part(b, 3))) == 0;
}

static inline uint64_t kv_word(uint32_t generation, enum cupool_kv_state state, uint32_t references)
{
    return (uint64_t)generation << 32 | (uint64_t)state << 28 | references;
}

static inline uint32_t kv_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline enum cupool_kv_state kv_state(uint64_t word)
{
    return (enum cupool_kv_state)(word >> 28 & 15);
}

static inline uint32_t kv_references(uint64_t word)
{
    return (uint32_t)(word & KV_REFERENCES_MASK);
}

/** Returns the next generation; never 0, so no handle is 0. */
static inline uint32_t kv_generation_next(uint32_t generation)
{
    return generation + 1 == 0 ? 1 : generation + 1;
}

static inline uint64_t kv_load(const struct kv_record *record)
{
    return atomic_load_explicit(&record->word, memory_order_acquire);
}

static inline bool kv_swap(struct kv_record *record, uint64_t *expected, uint64_t word)
{
    return atomic_compare_exchange_weak_explicit(&record->word, expected, word,
                                                 memory_order_acq_rel, memory_order_acquire);
}

/** Changes the state under the lock; references may change meanwhile. */
static inline void kv_set_state(struct kv_record *record, enum cupool_kv_state state)
{
    uint64_t word = kv_load(record);

    while (!kv_swap(record, &word, kv_word(kv_generation(word), state, kv_references(word))))
        ;
}

static inline cupool_kv_handle kv_handle(uint64_t word, uint32_t id)
{
    return (word & ~UINT64_C(0xffffffff)) | id;
}

#endif
