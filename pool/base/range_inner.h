/* SPDX-License-Identifier: MIT */
/*
 * What placement by page (range_page.c) shares with the range. The caller's lock guards a range.
 */
#ifndef POOL_BASE_RANGE_INNER_H
#define POOL_BASE_RANGE_INNER_H

#include "pool/base/range.h"

/** Changes the use of [address, address + bytes) within an extent; the rest before and behind keeps
 * the old use. NULL: the host has no memory, and nothing has changed. */
struct extent *range_use_change(struct range *range, struct extent *extent, uint64_t address,
                                uint64_t bytes, enum extent_use use);

/** Returns the smallest free extent in the bins of at least `bytes`, or NULL. */
struct extent *range_bins_best(const struct range_bins *bins, uint64_t bytes);

/** Takes `bytes` by page; NULL: no free extent has them so. */
struct extent *range_page_take(struct range *range, uint64_t bytes);

/** A large extent is free now, perhaps joined with others: notes which pages at its ends hold small
 * blocks only. */
void range_page_left(struct range *range, const struct extent *free);

/** Puts a free extent into the bins of the pages where it begins. */
void range_rebin(struct range *range, struct extent *extent);

/** Notes which pages hold small blocks only. */
void range_pages_note(struct range *range);

/** Notes what kind of block begins the pages that a part of a free extent takes. */
void range_page_note(struct range *range, const struct extent *free, uint64_t address,
                     uint64_t bytes);

/** Bytes of the whole pages of an extent. */
static inline uint64_t range_whole_bytes(const struct extent *extent)
{
    uint64_t from = pool_round_up(extent->node.address, RANGE_PAGE_BYTES);
    uint64_t to = (extent->node.address + extent->node.bytes) & ~(RANGE_PAGE_BYTES - 1);

    return pool_minus(to, from);
}

static inline bool range_page_is_small(const struct range *range, uint64_t address)
{
    uint64_t page = (address - range->address) / RANGE_PAGE_BYTES;

    return range->small_pages[page / RANGE_WORD_BITS] >> page % RANGE_WORD_BITS & 1;
}

/** Returns the lowest place by page of a block at or behind an address. */
uint64_t range_page_from(uint64_t address, uint64_t bytes);

/** Returns the highest one of a block that ends at or before an address. */
uint64_t range_page_to(uint64_t end, uint64_t bytes);

#endif
