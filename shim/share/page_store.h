/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of the pages below exported blocks, by the block's slot on the board.
 *
 * A page below several blocks has one descriptor.
 *
 *   a page exists, and its descriptor is open, while a slot names it
 *   the pages of a slot keep the order in which they were added
 *
 * Threading: used by the thread that owns the descriptors, only.
 */
#ifndef SHIM_SHARE_PAGE_STORE_H
#define SHIM_SHARE_PAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

struct page_store;

/** A page. */
struct page_store_page {
    uint64_t id; /* identifies the memory; never 0 */
    uint64_t bytes;
    int descriptor;
};

/** NULL without host memory. */
struct page_store *page_store_create(void);
/** Closes what is left. */
void page_store_destroy(struct page_store *store);

/**
 * Appends a page to a slot, as its page number `index`; on success the store owns the descriptor.
 * A new key means a new block: the slot's earlier pages are dropped.
 * Errors: -EINVAL no slot, or not its next page; -ENOSPC too many, `most` descriptors at most.
 */
int page_store_put(struct page_store *store, uint32_t slot, uint64_t key, uint32_t index,
                   const struct page_store_page *page, uint32_t most);

/** Copies up to `most` pages of a slot, from number `index` on; returns their number. */
uint32_t page_store_get(const struct page_store *store, uint32_t slot, uint64_t key, uint32_t index,
                        uint32_t most, struct page_store_page *ret_pages);

/** Drops the pages of a slot if it has this key or an earlier one: keys only grow. Closes the
 * descriptors that no other slot needs. */
void page_store_drop(struct page_store *store, uint32_t slot, uint64_t key);

/** Returns the number of open descriptors. */
uint32_t page_store_count(const struct page_store *store);

#endif
