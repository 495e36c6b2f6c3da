/* SPDX-License-Identifier: MIT */
/*
 * Internals of a set of sequences.
 *
 * Arrays are [slot][…] of fixed size, allocated at creation. A slot belongs to the caller of its
 * sequence; the set's lock guards the free slots, the statistics and the list of changed rows.
 */
#ifndef POOL_KV_SEQUENCE_SET_H
#define POOL_KV_SEQUENCE_SET_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "include/cupool/sequence.h"
#include "pool/kv/kv.h"

#define SET_MEMBERS 8
#define SET_STAGING 8 /* copies of a table that may be under way */

/** A pool of the set, with the handles and tables of all slots. */
struct set_member {
    struct cupool_kv *pool;
    uint32_t window, block_tokens, fine; /* fine: hashes a block */
    uint32_t row_blocks;
    cupool_kv_handle *handles;       /* [slot][row_blocks]; 0: before the window */
    int32_t *table;                  /* the same as block numbers */
    uint32_t dirty_first, dirty_end; /* rows that the device has not; guarded by the lock */
    /* Fences of the pool: work that may read a row as it was, by its owner; of changed rows,
     * guarded by the lock. */
    uint32_t *row_readers, readers;
    uint64_t device_table;
    int32_t *staging[SET_STAGING];
    uint64_t staging_fence[SET_STAGING];
    cupool_stream staging_stream[SET_STAGING];
    bool staging_busy[SET_STAGING], staging_fenced[SET_STAGING];
};

struct sequence_slot {
    _Atomic uint32_t generation; /* of the sequence that has it */
    bool live;                   /* guarded by the lock */
    uint32_t next_free;
    unsigned flags;
    uint32_t length, committed; /* tokens */
    uint32_t hashed;            /* fine blocks with a hash */
    uint32_t blocks[SET_MEMBERS], registered[SET_MEMBERS], first[SET_MEMBERS];
    _Atomic uint32_t told_tokens, told_blocks; /* for statistics: the rest is its owner's */
    struct cupool_kv_hash root;
    struct cupool_kv_scope scope; /* media only */
};

struct cupool_sequences {
    struct cupool_sequences_config config;
    struct cupool_kv_identity identity;
    uint32_t member_count, fine_blocks, coarsest;
    struct set_member members[SET_MEMBERS];
    struct sequence_slot *slots;
    int32_t *tokens;               /* [slot][max_tokens] */
    struct cupool_kv_hash *hashes; /* [slot][fine_blocks] */
    struct kv_heap heap;
    _Atomic(const char *) error;

    pthread_mutex_t lock;
    uint32_t free_first;
    struct cupool_sequences_statistics stats;
};

int set_fail(struct cupool_sequences *set, int error, const char *text);

/** The slot of a live sequence; NULL with -ESTALE or -EINVAL. */
struct sequence_slot *set_slot(struct cupool_sequences *set, cupool_sequence sequence,
                               int *ret_error);

static inline uint32_t set_index(const struct cupool_sequences *set,
                                 const struct sequence_slot *slot)
{
    return (uint32_t)(slot - set->slots);
}

static inline cupool_kv_handle *set_handles(const struct cupool_sequences *set,
                                            const struct sequence_slot *slot, uint32_t member)
{
    const struct set_member *m = &set->members[member];

    return m->handles + (size_t)set_index(set, slot) * m->row_blocks;
}

static inline int32_t *set_tokens(const struct cupool_sequences *set,
                                  const struct sequence_slot *slot)
{
    return set->tokens + (size_t)set_index(set, slot) * set->config.max_tokens;
}

static inline struct cupool_kv_hash *set_hashes(const struct cupool_sequences *set,
                                                const struct sequence_slot *slot)
{
    return set->hashes + (size_t)set_index(set, slot) * set->fine_blocks;
}

/** Publishes what the statistics tell of a slot; its owner calls it after each change. */
static inline void set_slot_tell(const struct cupool_sequences *set, struct sequence_slot *slot)
{
    uint32_t blocks = 0;

    for (uint32_t at = 0; at < set->member_count; at++)
        blocks += slot->blocks[at] - slot->first[at];
    atomic_store_explicit(&slot->told_tokens, slot->length, memory_order_relaxed);
    atomic_store_explicit(&slot->told_blocks, blocks, memory_order_relaxed);
}

/** Writes blocks [from, to) of a slot into the host's table and marks the row. */
void set_table_write(struct cupool_sequences *set, const struct sequence_slot *slot,
                     uint32_t member, uint32_t from, uint32_t to);

int set_tables_init(struct cupool_sequences *set, struct set_member *member);
void set_tables_done(struct cupool_sequences *set, struct set_member *member);

/** Releases blocks [from, to) of one member, except those before the window. -EBUSY: the stream
 * is captured, nothing was released. */
int set_blocks_release(struct cupool_sequences *set, struct sequence_slot *slot, uint32_t member,
                       uint32_t from, uint32_t to, cupool_stream stream);

/** A slot with the next generation; -ENOBUFS. */
int set_slot_take(struct cupool_sequences *set, struct sequence_slot **ret_slot);
void set_slot_give(struct cupool_sequences *set, struct sequence_slot *slot);
cupool_sequence set_name(const struct cupool_sequences *set, const struct sequence_slot *slot);

#endif
