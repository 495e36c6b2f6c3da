/* SPDX-License-Identifier: MIT */
/*
 * See episodes.h. Where no gaps are left to close, as with hundreds of phases one inside the other,
 * later episodes are not kept.
 */
#include "tools/episodes.h"

#include <stdbool.h>

#define FIRST_CLOSE_NS 1000

/** Whether the episode could be joined with the last one of its phase. */
static bool episode_join(struct episodes *episodes, const struct episode *next)
{
    size_t i = episodes->count;

    while (i && episodes->row[i - 1].phase != next->phase)
        i--;
    if (!i || !episodes->close_ns ||
        next->begin_ns > episodes->row[i - 1].end_ns + episodes->close_ns)
        return false;
    episodes->row[i - 1].end_ns = next->end_ns;
    return true;
}

static void all_join(struct episodes *episodes)
{
    size_t count = episodes->count;

    episodes->close_ns = episodes->close_ns ? 2 * episodes->close_ns : FIRST_CLOSE_NS;
    episodes->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct episode next = episodes->row[i];

        if (!episode_join(episodes, &next))
            episodes->row[episodes->count++] = next;
    }
}

void episodes_add(struct episodes *episodes, size_t phase, uint64_t begin_ns, uint64_t end_ns)
{
    const struct episode next = {begin_ns, end_ns, phase};

    while (episodes->count == EPISODES && episodes->close_ns < end_ns)
        all_join(episodes);
    if (!episode_join(episodes, &next) && episodes->count < EPISODES)
        episodes->row[episodes->count++] = next;
}
