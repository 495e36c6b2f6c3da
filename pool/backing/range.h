/* SPDX-License-Identifier: MIT */
/*
 * A range of reserved addresses, divided into extents: holes without memory, free memory, and live
 * blocks. Placement is best fit, lowest address first, in units of 512 B; free neighbours join,
 * also across the pages and handles below them.
 *
 *   the extents, by address, cover the range without gap or overlap
 *   no two neighbours are both holes or both free
 *   holes begin and end at multiples of 2 MiB
 *
 * The range knows nothing of how memory is mapped: mapped.h puts memory into holes and takes it out
 * of free extents. A block is found by its address in O(blocks that begin in its 2 MiB).
 *
 * Threading: the caller's lock guards a range.
 */
#ifndef POOL_BACKING_RANGE_H
#define POOL_BACKING_RANGE_H

#include "pool/base/base.h"
#include "pool/base/size_tree.h"

#define RANGE_GRAIN_BYTES UINT64_C(512)
#define RANGE_PAGE_BYTES  (UINT64_C(2) << 20)

enum extent_use { EXTENT_HOLE, EXTENT_FREE, EXTENT_LIVE };

struct extent {
    struct size_node node; /* place; in the tree of its kind unless live */
    struct extent *before, *after;
    enum extent_use use;
};

struct range {
    uint64_t address, bytes;
    struct extent *first;
    struct extent **starts; /* by page: the first extent that begins in it; NULL: none does */
    struct size_tree free, holes;
    uint64_t live_bytes, free_bytes;
    pool_count *account; /* bytes of host memory for the extents */
};

/**
 * `address` and `bytes` are multiples of 2 MiB; all of it is a hole. Errors: -ENOMEM: the host has
 * no memory.
 */
int range_init(struct range *range, uint64_t address, uint64_t bytes, pool_count *account);

/** Takes `bytes` (a multiple of the grain) from the best free extent; NULL: nothing fits. */
struct extent *range_take(struct range *range, uint64_t bytes);

/** Takes `bytes` from the front of a free extent. NULL: the host has no memory. */
struct extent *range_take_from(struct range *range, struct extent *free, uint64_t bytes);

/** The same from its end. */
struct extent *range_take_end(struct range *range, struct extent *free, uint64_t bytes);

/** The free extent that holds an address, or NULL. */
struct extent *range_free_at(const struct range *range, uint64_t address);

/** Gives a live extent back; the extent may be gone afterwards. */
void range_give(struct range *range, struct extent *live);

/** The live extent that holds an address, or NULL. */
struct extent *range_find(const struct range *range, uint64_t address);

/** Where memory is missing for a request, and how much. */
struct range_gap {
    uint64_t address, bytes;  /* what to fill; multiples of 2 MiB */
    uint64_t room;            /* of the hole */
    bool from_end;            /* of the hole: more than `bytes` goes below `address` */
    struct extent *beside[2]; /* free extents that it will join; NULL: none */
};

/** Whether a gap can be filled. */
typedef bool range_gap_test(void *state, const struct range_gap *gap);

/**
 * The gap that takes least to fill so that `bytes` fit into one extent, the lowest of those, among
 * the ones that pass the test (NULL: all do). Errors: -ENOSPC: there is none.
 */
int range_gap_find(const struct range *range, uint64_t bytes, range_gap_test *test, void *state,
                   struct range_gap *ret_gap);

/** Memory was mapped into a part of a hole: it is free now. Errors: -ENOMEM, nothing changed. */
int range_fill(struct range *range, uint64_t address, uint64_t bytes);

/** Memory in a part of a free extent is about to be unmapped: it is a hole. Errors: -ENOMEM. */
int range_empty(struct range *range, uint64_t address, uint64_t bytes);

/** The violated invariant, or NULL. */
const char *range_check(const struct range *range);

static inline struct extent *extent_of(struct size_node *node)
{
    return node ? pool_container_of(node, struct extent, node) : NULL;
}

static inline uint64_t extent_end(const struct extent *extent)
{
    return extent->node.address + extent->node.bytes;
}

#endif
