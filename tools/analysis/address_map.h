/* SPDX-License-Identifier: MIT */
/*
 * Which addresses were used for what, at the peak and at the end.
 *
 * No copy of the ledger is made at a new peak. Blocks know after how many allocations they came,
 * and those that leave are kept while they belong to the last peak; so what was live then is what
 * is kept, and what is still in the ledger and old enough. Memory never exceeds the blocks that
 * were live at one time.
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

/** Addresses that were taken from the driver in one piece. */
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
    struct ledger_block *block;    /* the same */
    size_t extents, blocks, segments;
    uint64_t bytes, used_bytes, waste_bytes, hole_bytes, hole_most;
    uint64_t gap_bytes; /* of all gaps, which are no part of `bytes` */
    size_t gaps, gaps_drawn;
};

/** The part of an extent behind its blocks before `block` (blocks: behind all of them). */
uint64_t address_hole_before(const struct address_map *map, const struct address_extent *extent,
                             size_t block);

/**
 * What was where at a moment: device memory that has an address. Blocks that overlap earlier ones,
 * as only a damaged or incomplete trace has them, are left out. Errors: -ENOMEM.
 */
int address_map_create(const struct ledger *ledger, const struct address_history *history,
                       enum address_moment moment, struct address_map *ret_map);

/** Finds the gaps between mapped extents of the same range; without it there are none. */
void address_map_gaps(struct address_map *map, const struct defragmentation *defragmentation);

/** How wide a gap is drawn, in bytes; all gaps together take a third of a picture at most. */
uint64_t address_map_gap_width(const struct address_map *map);

void address_map_done(struct address_map *map);

#endif
