/* SPDX-License-Identifier: MIT */
/*
 * Keeps a trace below a size: when no block is left, the oldest events are folded (trace_fold.h),
 * what is left of them is written as a carry, and their blocks are used again.
 *
 * The order makes it safe against death at any moment. A carry counts when its last block does
 * (CHECKPOINT); it says of every block how many of its slots it stands for. Only then are blocks
 * given back: those that the carry stands for as a whole, and those of the carry before. A reader
 * takes the last carry that is whole, and the rest of what it does not stand for.
 *
 * Events are folded in the order of time across all threads, up to the last one of the blocks that
 * are given back, from blocks that others still fill as well. What a thread writes down late is
 * not lost: it stands behind the slots that were folded.
 *
 * Threading: the store's lock is held; lanes go on filling their blocks meanwhile.
 */
#ifndef CUPTI_WRITE_TRACE_RING_H
#define CUPTI_WRITE_TRACE_RING_H

#include "cupti/replay/trace_fold.h"
#include "cupti/write/trace_store.h"

struct ring_cursor;

struct trace_ring {
    struct trace_store *store;  /* immutable */
    struct ring_cursor *cursor; /* heap of blocks under way; guarded by the store's lock */
    uint32_t cursors;
    struct trace_fold_progress *progress; /* room for all blocks; guarded by the store's lock */
    uint32_t number;                      /* of the last carry; guarded by the store's lock */
    uint64_t carry_blocks;                /* of the last carry; guarded by the store's lock */
    struct trace_fold fold;
};

/** `module_of`: see struct trace_fold. Errors: -ENOMEM. */
int trace_ring_init(struct trace_ring *ret_ring, struct trace_store *store,
                    const uint32_t *module_of);

/**
 * A block for events. Errors: -EAGAIN when every block is being filled: this record is lost, a
 * later one may not be; another negative errno, in which the store stays.
 */
int trace_ring_block(struct trace_ring *ring, void **ret_block, uint32_t *ret_sequence);

#endif
