/* SPDX-License-Identifier: MIT */
/*
 * Blocks and segments that have left the table but existed at a relevant moment: at the peak of
 * requested memory, or at the end (those that ended with a context).
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_REPLAY_ADDRESS_HISTORY_H
#define CUPTI_REPLAY_ADDRESS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/replay/block_table.h"

enum address_moment { ADDRESS_AT_PEAK, ADDRESS_AT_END, ADDRESS_MOMENTS };

struct address_gone {
    struct replay_block *block; /* pages */
    size_t count, room;
};

/** False: out of memory. */
bool address_gone_add(struct address_gone *gone, const struct replay_block *block);
void address_gone_done(struct address_gone *gone);

struct address_history {
    struct address_gone gone[ADDRESS_MOMENTS];
    uint64_t peak_order;
    bool short_of_memory;
};

/** A new peak, after so many allocations. */
void address_history_peak(struct address_history *history, uint64_t order);

/** A block is about to leave the table; `ended`: because its context ended. */
void address_history_leave(struct address_history *history, const struct replay_block *block,
                           bool ended);

void address_history_done(struct address_history *history);

#endif
