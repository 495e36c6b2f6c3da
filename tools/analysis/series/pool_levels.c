/* SPDX-License-Identifier: MIT */
/*
 * If the counters of one moment change both figures, the moment is kept once.
 */
#include "tools/analysis/series/pool_levels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/bound.h"
#include "tools/base/grow.h"

static struct pool_level sum(const struct pool_levels *levels, uint64_t time_ns)
{
    struct pool_level all = {.time_ns = time_ns};

    for (size_t i = 0; i < levels->contexts; i++) {
        all.cached_bytes += levels->last[i].cached_bytes;
        all.quarantined_bytes += levels->last[i].quarantined_bytes;
    }
    return all;
}

static int level_keep(struct pool_levels *levels, const struct pool_level *level)
{
    if (levels->levels && levels->level[levels->levels - 1].time_ns >= level->time_ns) {
        levels->level[levels->levels - 1].cached_bytes = level->cached_bytes;
        levels->level[levels->levels - 1].quarantined_bytes = level->quarantined_bytes;
        return 0;
    }
    if (ARRAY_GROW(levels->level, levels->levels, levels->room, 64) < 0)
        return -ENOMEM;
    levels->level[levels->levels++] = *level;
    return 0;
}

int pool_levels_add(struct pool_levels *levels, const char *name, uint32_t context, uint64_t value,
                    uint64_t time_ns)
{
    bool cached = !strcmp(name, "cached_bytes"), quarantined = !strcmp(name, "quarantined_bytes");
    struct pool_level now;
    size_t i = 0;

    if (!cached && !quarantined)
        return 0;
    while (i < levels->contexts && levels->last[i].context != context)
        i++;
    if (i == POOL_LEVELS_CONTEXTS)
        return 0;
    if (i == levels->contexts)
        levels->last[levels->contexts++].context = context;
    if (cached)
        levels->last[i].cached_bytes = value;
    else
        levels->last[i].quarantined_bytes = value;
    now = sum(levels, time_ns);
    return level_keep(levels, &now);
}

bool pool_levels_at(const struct pool_levels *levels, uint64_t time_ns,
                    struct pool_level *ret_level)
{
    size_t at = UPPER_BOUND(levels->level, levels->levels, time_ns, time_ns);

    if (!at)
        return false;
    *ret_level = levels->level[at - 1];
    return true;
}

void pool_levels_done(struct pool_levels *levels)
{
    free(levels->level);
}
