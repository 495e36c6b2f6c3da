/* SPDX-License-Identifier: MIT */
/*
 * Buddy arithmetic: the buddy of block i is i ^ 1, its parent i >> 1. A range that is not a power
 * of two is freed as its maximal aligned blocks, each merged separately.
 */
#include "pool/base/buddy.h"

/* First word of each order in the bitmap. */
static const uint8_t order_word[BUDDY_ORDERS] = {0, 8, 12, 14, 15, 16, 17, 18, 19, 20};

static bool bit_get(const struct buddy *buddy, unsigned order, uint32_t block)
{
    return buddy->free[order_word[order] + block / 64] >> (block % 64) & 1;
}

static void bit_set(struct buddy *buddy, unsigned order, uint32_t block)
{
    pool_assert(!bit_get(buddy, order, block));
    buddy->free[order_word[order] + block / 64] |= UINT64_C(1) << (block % 64);
    if (buddy->free_blocks[order]++ == 0)
        buddy->orders |= (uint16_t)(1u << order);
}

static void bit_clear(struct buddy *buddy, unsigned order, uint32_t block)
{
    pool_assert(bit_get(buddy, order, block));
    buddy->free[order_word[order] + block / 64] &= ~(UINT64_C(1) << (block % 64));
    if (--buddy->free_blocks[order] == 0)
        buddy->orders &= (uint16_t) ~(1u << order);
}

static uint32_t bit_lowest(const struct buddy *buddy, unsigned order)
{
    const uint64_t *word = &buddy->free[order_word[order]];
    uint32_t base = 0;

    while (*word == 0) {
        word++;
        base += 64;
    }
    return base + (uint32_t)__builtin_ctzll(*word);
}

void buddy_init(struct buddy *buddy)
{
    *buddy = (struct buddy){.free_leaves = SIZE_LEAVES};
    bit_set(buddy, BUDDY_ORDERS - 1, 0);
}

static void block_give(struct buddy *buddy, unsigned order, uint32_t block)
{
    while (order < BUDDY_ORDERS - 1 && bit_get(buddy, order, block ^ 1)) {
        bit_clear(buddy, order, block ^ 1);
        block >>= 1;
        order++;
    }
    bit_set(buddy, order, block);
}

void buddy_give(struct buddy *buddy, uint32_t first_leaf, uint32_t leaves)
{
    pool_assert(first_leaf + leaves <= SIZE_LEAVES);
    buddy->free_leaves = (uint16_t)(buddy->free_leaves + leaves);
    while (leaves > 0) {
        unsigned aligned = (unsigned)__builtin_ctz(first_leaf | SIZE_LEAVES);
        unsigned order = (unsigned)pool_min(aligned, pool_log2_floor(leaves));

        block_give(buddy, order, first_leaf >> order);
        first_leaf += 1u << order;
        leaves -= 1u << order;
    }
    pool_assert_expensive(!buddy_check(buddy));
}

int buddy_take(struct buddy *buddy, uint32_t leaves)
{
    unsigned wanted = pool_log2_ceil(leaves);
    unsigned sufficient = buddy->orders >> wanted;

    if (sufficient == 0)
        return -1;

    unsigned order = wanted + (unsigned)__builtin_ctz(sufficient);
    uint32_t block = bit_lowest(buddy, order);
    bit_clear(buddy, order, block);
    while (order > wanted) {
        order--;
        block <<= 1;
        bit_set(buddy, order, block ^ 1);
    }
    uint32_t first_leaf = block << order, taken = 1u << order;
    buddy->free_leaves = (uint16_t)(buddy->free_leaves - taken);
    if (taken > leaves)
        buddy_give(buddy, first_leaf + leaves, taken - leaves);
    return (int)first_leaf;
}

/* Counts free leaves from `leaf` on, block by block. */
static uint32_t free_from(const struct buddy *buddy, uint32_t leaf)
{
    uint32_t at = leaf;

    while (at < SIZE_LEAVES) {
        unsigned order = 0;

        while (order < BUDDY_ORDERS && !bit_get(buddy, order, at >> order))
            order++;
        if (order == BUDDY_ORDERS)
            break;
        at = ((at >> order) + 1) << order;
    }
    return at - leaf;
}

/* Takes the free block around a leaf, and frees its parts outside the range. */
static uint32_t block_take_around(struct buddy *buddy, uint32_t leaf, uint32_t end)
{
    unsigned order = 0;

    while (!bit_get(buddy, order, leaf >> order))
        order++;
    uint32_t first = leaf >> order << order, after = first + (1u << order);
    bit_clear(buddy, order, leaf >> order);
    buddy->free_leaves = (uint16_t)(buddy->free_leaves - (after - first));
    if (first < leaf)
        buddy_give(buddy, first, leaf - first);
    if (after > end)
        buddy_give(buddy, end, after - end);
    return pool_min(after, end);
}

int buddy_take_anywhere(struct buddy *buddy, uint32_t leaves)
{
    uint32_t best = 0, best_leaves = SIZE_LEAVES + 1;

    for (uint32_t leaf = 0; leaf < SIZE_LEAVES;) {
        uint32_t found = free_from(buddy, leaf);

        if (found >= leaves && found < best_leaves) {
            best = leaf;
            best_leaves = found;
        }
        leaf += found ? found : 1;
    }
    if (best_leaves > SIZE_LEAVES)
        return -1;
    for (uint32_t leaf = best; leaf < best + leaves;)
        leaf = block_take_around(buddy, leaf, best + leaves);
    return (int)best;
}

bool buddy_leaf_free(const struct buddy *buddy, uint32_t leaf)
{
    for (unsigned order = 0; order < BUDDY_ORDERS; order++) {
        if (bit_get(buddy, order, leaf >> order))
            return true;
    }
    return false;
}

static const char *order_check(const struct buddy *buddy, unsigned order, uint32_t *leaves)
{
    uint32_t count = 0;

    for (uint32_t block = 0; block < SIZE_LEAVES >> order; block++) {
        if (!bit_get(buddy, order, block))
            continue;
        count++;
        *leaves += 1u << order;
        if (order < BUDDY_ORDERS - 1 && bit_get(buddy, order, block ^ 1))
            return "buddy: two free buddies are not merged";
        for (unsigned above = order + 1; above < BUDDY_ORDERS; above++) {
            if (bit_get(buddy, above, block >> (above - order)))
                return "buddy: a free block lies inside another";
        }
    }
    if (count != buddy->free_blocks[order])
        return "buddy: number of free blocks differs from the bitmap";
    if ((count > 0) != (buddy->orders >> order & 1))
        return "buddy: the set of orders differs from the counts";
    return NULL;
}

const char *buddy_check(const struct buddy *buddy)
{
    uint32_t leaves = 0;

    for (unsigned order = 0; order < BUDDY_ORDERS; order++) {
        const char *why = order_check(buddy, order, &leaves);

        if (why)
            return why;
    }
    return leaves == buddy->free_leaves ? NULL : "buddy: free leaves differ from the bitmap";
}
