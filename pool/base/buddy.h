/* SPDX-License-Identifier: MIT */
/*
 * A binary buddy over the 512 leaves (4 KiB) of one 2 MiB segment.
 *
 * One bit per block of each order says that exactly this block is free (and was not split). A
 * request takes the lowest block of the smallest sufficient order and returns its unused tail as
 * smaller buddies, so it occupies whole leaves, not a power of two. Freeing merges upwards.
 *
 *   free leaves + taken leaves = 512; two buddies of an order are never both free.
 *
 * Not synchronised: the extents lock of the pool guards it.
 */
#ifndef POOL_BASE_BUDDY_H
#define POOL_BASE_BUDDY_H

#include "pool/base/base.h"
#include "pool/base/size_class.h"

#define BUDDY_ORDERS 10u /* order 0 is a leaf, order 9 the segment */
#define BUDDY_WORDS  21u /* of 64 bits: 8, 4, 2, then one for each order */

struct buddy {
    uint64_t free[BUDDY_WORDS];         /* bit i of order o: block i of 2^o leaves is free */
    uint16_t free_blocks[BUDDY_ORDERS]; /* bits set per order */
    uint16_t orders;                    /* bit o: free_blocks[o] > 0 */
    uint16_t free_leaves;
};

/** The segment as one free block. */
void buddy_init(struct buddy *buddy);

/** Takes 1 to 512 leaves; returns the first, or -1 when no block is large enough. */
int buddy_take(struct buddy *buddy, uint32_t leaves);

/**
 * Takes the smallest row of free leaves that is long enough, across blocks of any order. Slow; for
 * when memory is short.
 */
int buddy_take_anywhere(struct buddy *buddy, uint32_t leaves);

/** Frees leaves that were taken (any part of the result of one take). */
void buddy_give(struct buddy *buddy, uint32_t first_leaf, uint32_t leaves);

/** Order of the largest free block, or -1 when nothing is free. */
static inline int buddy_largest_order(const struct buddy *buddy)
{
    return buddy->orders == 0 ? -1 : (int)pool_log2_floor(buddy->orders);
}

/** Walks the bitmaps; returns NULL, or the violated invariant. */
const char *buddy_check(const struct buddy *buddy);

/** Whether a leaf lies in a free block; for checks. */
bool buddy_leaf_free(const struct buddy *buddy, uint32_t leaf);

#endif
