/* SPDX-License-Identifier: MIT */
/*
 * Who keeps segments of the pool that are mostly free: at the peak, the free space of each segment
 * is shared out among the blocks in it, each getting as large a part as it has of their bytes. The
 * parts of all sites make up all the free space of segments that have a block; a segment without
 * one is kept by nobody. A site with a small block in each of many segments gets nearly all of
 * them: it is what stands in the way of using them for something larger, or giving them back.
 * Beside it what rounding adds to the blocks of each site, those in no segment too.
 *
 * Threading: immutable after creation.
 */
#ifndef TOOLS_ANALYSIS_FRAGMENTATION_H
#define TOOLS_ANALYSIS_FRAGMENTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct analysis;

struct fragmentation_part {
    uint64_t key;          /* a site, or a whole stack */
    uint64_t pinned_bytes; /* its part of the free space */
    uint64_t block_bytes;  /* its blocks in segments, with rounding */
    uint64_t blocks;
    uint64_t rounding_bytes; /* of pinned: beside blocks that have a segment alone, and too little
                                for another of their size */
};

struct fragmentation {
    struct fragmentation_part *site, *stack; /* those that pin anything, most pinned first */
    size_t sites, stacks;
    uint64_t pinned_bytes; /* all free space of segments that have a block */
    /* Sites by what rounding adds to their blocks, and by what is left of segments that take only
     * one of them; as pinned_bytes. */
    struct fragmentation_part *rounding;
    size_t roundings;
    uint64_t rounding_bytes; /* of all blocks */
};

/** Of an analysis whose blocks and peak are known. Errors: -ENOMEM. */
int fragmentation_create(const struct analysis *analysis, struct fragmentation *ret_fragmentation);

void fragmentation_done(struct fragmentation *fragmentation);

/** Whether so many bytes are worth a line beside all that was held from the driver. */
bool fragmentation_is_notable(uint64_t pinned_bytes, uint64_t driver_bytes);

/** How many of the first sites of an analysis are. */
size_t fragmentation_notable_sites(const struct analysis *analysis);

#endif
