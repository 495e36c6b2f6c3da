/* SPDX-License-Identifier: MIT */
#include "cupti/replay/address_history.h"

#include <string.h>

#include "cupti/base/pages.h"

bool address_gone_add(struct address_gone *gone, const struct replay_block *block)
{
    if (gone->count == gone->room) {
        struct address_gone larger = {.room = gone->room ? 2 * gone->room : 64,
                                      .count = gone->count};

        larger.block = pages_map(larger.room * sizeof *larger.block);
        if (!larger.block)
            return false;
        if (gone->count)
            memcpy(larger.block, gone->block, gone->count * sizeof *gone->block);
        address_gone_done(gone);
        *gone = larger;
    }
    gone->block[gone->count++] = *block;
    return true;
}

void address_gone_done(struct address_gone *gone)
{
    pages_unmap(gone->block, gone->room * sizeof *gone->block);
    *gone = (struct address_gone){0};
}

void address_history_peak(struct address_history *history, uint64_t order)
{
    history->peak_order = order;
    history->gone[ADDRESS_AT_PEAK].count = 0;
}

void address_history_leave(struct address_history *history, const struct replay_block *block,
                           bool ended)
{
    bool fine = true;

    if (block->order <= history->peak_order)
        fine = address_gone_add(&history->gone[ADDRESS_AT_PEAK], block);
    if (ended)
        fine = address_gone_add(&history->gone[ADDRESS_AT_END], block) && fine;
    history->short_of_memory |= !fine;
}

void address_history_done(struct address_history *history)
{
    for (int i = 0; i < ADDRESS_MOMENTS; i++)
        address_gone_done(&history->gone[i]);
    *history = (struct address_history){0};
}
