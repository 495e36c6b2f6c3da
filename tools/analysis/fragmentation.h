/* SPDX-License-Identifier: MIT */
/*
 * Finds the sites that keep pool segments mostly free. At the peak, the free space of each segment
 * is divided among its blocks in proportion to their bytes. The shares of all sites make up the
 * free space of all segments with a block; a segment without one is kept by nobody. A site with one
 * small block in each of many segments gets nearly all of their space: it prevents their use for
 * larger blocks, and their return. The other figure is the rounding of each site's blocks,
 * including those in no segment.
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
    /* Sites by the rounding of their blocks, and by the rest of segments with room for only one
     * of them; as pinned_bytes. */
    struct fragmentation_part *rounding;
    size_t roundings;
    uint64_t rounding_bytes; /* of all blocks */
};

/** Makes it from an analysis with known blocks and peak. Errors: -ENOMEM. */
int fragmentation_create(const struct analysis *analysis, struct fragmentation *ret_fragmentation);

void fragmentation_done(struct fragmentation *fragmentation);

/** Whether this many bytes are worth a line, compared with the memory held from the driver. */
bool fragmentation_is_notable(uint64_t pinned_bytes, uint64_t driver_bytes);

/** How many of the first sites of an analysis are. */
size_t fragmentation_notable_sites(const struct analysis *analysis);

#endif
