/* SPDX-License-Identifier: MIT */
/*
 * Maps of device addresses, at the peak and at the end.
 *
 * The table of blocks is not copied at each new peak. Each block stores the number of allocations
 * before it, and freed blocks are kept while they belong to the last peak. So the blocks live at
 * the peak are those kept, and those still in the table that are old enough. Memory never exceeds
 * the largest number of blocks live at one time.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_ADDRESS_MAP_H
#define TOOLS_ANALYSIS_ADDRESS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/replay/address_history.h"
#include "tools/analysis/defragmentation.h"

/** A contiguous range of addresses from the driver. */
struct address_extent {
    uint64_t address, bytes;
    bool segment;                     /* of the pool; otherwise a block of its own */
    bool mapped;                      /* a segment that was mapped, at addresses of a range */
    uint64_t gap_bytes;               /* without memory before it, of its range; 0: not drawn */
    size_t first, blocks;             /* in address_map.block */
    uint64_t used_bytes, waste_bytes; /* of the blocks: requested, and rounding */
    uint64_t hole_bytes, hole_most;   /* between the blocks: sum, and the largest */
    size_t holes;
};

struct address_map {
    struct address_extent *extent; /* by address, none overlaps another */
    struct replay_block *block;    /* the same */
    size_t extents, blocks, segments;
    uint64_t bytes, used_bytes, waste_bytes, hole_bytes, hole_most;
    uint64_t gap_bytes; /* of all gaps, which are no part of `bytes` */
    size_t gaps, gaps_drawn;
};

/** The part of an extent after its blocks before `block` (blocks: after all of them). */
uint64_t address_hole_before(const struct address_map *map, const struct address_extent *extent,
                             size_t block);

/**
 * The device memory with addresses at one moment. Blocks that overlap earlier ones, as in a
 * damaged or incomplete trace, are left out. Errors: -ENOMEM.
 */
int address_map_create(const struct block_table *block_table, const struct address_history *history,
                       enum address_moment moment, struct address_map *ret_map);

/** Finds the gaps between mapped extents of the same range; without this call there are none. */
void address_map_gaps(struct address_map *map, const struct defragmentation *defragmentation);

/** Width of a gap in a picture, in bytes; all gaps together take at most a third. */
uint64_t address_map_gap_width(const struct address_map *map);

void address_map_done(struct address_map *map);

#endif
