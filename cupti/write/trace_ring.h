/* SPDX-License-Identifier: MIT */
/*
 * Keeps a trace below a size. When no block is left, the oldest events are folded (trace_fold.h),
 * the result is written as a carry, and their blocks are reused.
 *
 * The order of steps makes this safe against death at any moment. A carry becomes valid with its
 * last block (CHECKPOINT); it says how many slots of every block it includes. Only then are blocks
 * given back: those that the carry includes in full, and those of the previous carry. A reader
 * takes the last complete carry, and all slots that it does not include.
 *
 * Events are folded in time order across all threads, up to the last event of the blocks that are
 * given back. This includes events in blocks that other threads still fill. A record that a thread
 * writes late is not lost: it stands behind the folded slots.
 *
 * Threading: the store's lock is held; other threads continue to fill their lanes meanwhile.
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
 * Returns a block for events. Errors: -EAGAIN when every block is being filled: this record is
 * lost, but a later one may succeed; any other negative errno is permanent.
 */
int trace_ring_block(struct trace_ring *ring, void **ret_block, uint32_t *ret_sequence);

#endif
