/* SPDX-License-Identifier: MIT */
/*
 * Unused memory held by the pools over time: cached and in quarantine, from the pools' own
 * counters, recorded about once a second, summed over contexts.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_SERIES_POOL_LEVELS_H
#define TOOLS_ANALYSIS_SERIES_POOL_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_LEVELS_CONTEXTS 64 /* of more, the rest is not counted */

struct pool_level {
    uint64_t time_ns, cached_bytes, quarantined_bytes;
};

struct pool_levels {
    struct {
        uint32_t context;
        uint64_t cached_bytes, quarantined_bytes;
    } last[POOL_LEVELS_CONTEXTS];
    size_t contexts;
    struct pool_level *level; /* in order of time */
    size_t levels, room;
};

/** Adds one counter of a context; ignores other names. Errors: -ENOMEM. */
int pool_levels_add(struct pool_levels *levels, const char *name, uint32_t context, uint64_t value,
                    uint64_t time_ns);

/** The levels at a moment. False before the first count. */
bool pool_levels_at(const struct pool_levels *levels, uint64_t time_ns,
                    struct pool_level *ret_level);

void pool_levels_done(struct pool_levels *levels);

#endif
