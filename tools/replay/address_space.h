/* SPDX-License-Identifier: MIT */
/*
 * The addresses of the modelled device. They ascend for as long as there are some; then what was
 * given back is used again, best fit first, so that a long trace does not run out of them.
 *
 *   a range is live, of one context, or free; free neighbours are joined
 *
 * Every step is O(log n) in the number of ranges.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_ADDRESS_SPACE_H
#define TOOLS_REPLAY_ADDRESS_SPACE_H

#include "pool/base/size_tree.h"
#include "tools/replay/replay_trace.h"

struct address_space {
    uint64_t next, end;                         /* never used yet */
    struct size_tree live[REPLAY_CONTEXTS_MAX]; /* by address */
    struct size_tree free, places;              /* by size; by address */
};

/** An empty one of the addresses from `first` up to `end`. */
void address_space_init(struct address_space *ret_space, uint64_t first, uint64_t end);
void address_space_done(struct address_space *space);

/** Errors: -ENOMEM: no place is large enough, or the host has no memory; -EINVAL: no bytes, which
 * would lie where the next range does. */
int address_space_take(struct address_space *space, unsigned context, uint64_t bytes,
                       uint64_t *ret_address);

/** Gives a range back; addresses that were not taken here are ignored. */
void address_space_give(struct address_space *space, unsigned context, uint64_t address);

/** Gives back all of a context. */
void address_space_give_all(struct address_space *space, unsigned context);

#endif
