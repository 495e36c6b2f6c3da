/* SPDX-License-Identifier: MIT */
/*
 * Whole pages, and placement by page.
 *
 * Best fit places blocks side by side, so that a page may hold the end of one large block, the
 * beginning of the next and small blocks between. It packs best, but once blocks have come and gone
 * in any order, each live block keeps pages of which the rest is of no use to a large block, and
 * only whole pages can be mapped elsewhere. By page, memory is used as the driver alone would:
 *
 *   a large block (from 2 MiB) touches no more pages than its size needs
 *   a small block lies in a page that began with a small block
 *
 * A large block shares a page with others only if that saves one. So all pages that large blocks
 * hold are those that the driver would take, and small blocks keep few pages.
 */
#include "pool/base/range_inner.h"

/* Free extents to search for the best place; they may be many. */
#define PAGE_TRIES 16u

static uint64_t page_begin(uint64_t address)
{
    return address & ~(RANGE_PAGE_BYTES - 1);
}

/* Bytes of the whole pages in [from, to). */
static uint64_t pages_bytes(uint64_t from, uint64_t to)
{
    return pool_minus(page_begin(to), pool_round_up(from, RANGE_PAGE_BYTES));
}

uint64_t range_pieces_bytes(const struct range *range)
{
    return count_get(&range->bytes_of[EXTENT_FREE]) - range->whole_pages_bytes;
}

/* ---- whole pages ---- */

static bool page_in(const struct extent *extent, uint64_t *ret_address)
{
    uint64_t address = pool_round_up(extent->node.address, RANGE_PAGE_BYTES);

    *ret_address = address;
    return address + RANGE_PAGE_BYTES <= extent_end(extent);
}

/* Finds a free page among extents of less than 4 MiB, else in one that certainly has it. */
static struct extent *page_find(const struct range *range, uint64_t *ret_address)
{
    struct size_node *node = size_tree_best(&range->free, RANGE_PAGE_BYTES);
    unsigned tries = 0;

    while (node && !page_in(extent_of(node), ret_address))
        node = ++tries < PAGE_TRIES
                   ? size_tree_at_least(&range->free, node->bytes, node->address + 1)
                   : size_tree_best(&range->free, 2 * RANGE_PAGE_BYTES);
    return extent_of(node);
}

struct extent *range_take_page(struct range *range)
{
    uint64_t address;
    struct extent *extent = page_find(range, &address);

    return extent ? range_take_at(range, extent, address, RANGE_PAGE_BYTES) : NULL;
}

/* ---- placement by page ---- */

/* Bytes of a block in the last page that its size needs. */
static uint64_t last_bytes(uint64_t bytes)
{
    return (bytes - 1) % RANGE_PAGE_BYTES + 1;
}

uint64_t range_page_from(uint64_t address, uint64_t bytes)
{
    bool fits = address % RANGE_PAGE_BYTES + last_bytes(bytes) <= RANGE_PAGE_BYTES;

    return fits ? address : pool_round_up(address, RANGE_PAGE_BYTES);
}

uint64_t range_page_to(uint64_t end, uint64_t bytes)
{
    uint64_t address = end - bytes, last = last_bytes(bytes);
    bool fits = address % RANGE_PAGE_BYTES + last <= RANGE_PAGE_BYTES;

    return fits ? address : page_begin(address) + RANGE_PAGE_BYTES - last;
}

static void page_set(struct range *range, uint64_t address, bool small)
{
    uint64_t page = (address - range->address) / RANGE_PAGE_BYTES;
    uint64_t *word = &range->small_pages[page / RANGE_WORD_BITS];
    uint64_t bit = UINT64_C(1) << page % RANGE_WORD_BITS;

    *word = small ? *word | bit : *word & ~bit;
}

/* If the page was free. */
static void page_note(struct range *range, const struct extent *free, uint64_t page, bool small)
{
    if (page >= free->node.address && page + RANGE_PAGE_BYTES <= extent_end(free))
        page_set(range, page, small);
}

void range_page_note(struct range *range, const struct extent *free, uint64_t address,
                     uint64_t bytes)
{
    bool small = bytes < RANGE_PAGE_BYTES;

    page_note(range, free, page_begin(address), small);
    page_note(range, free, page_begin(address + bytes - 1), small);
}

static bool is_large(const struct extent *extent)
{
    return extent->use != EXTENT_FREE && extent->node.bytes >= RANGE_PAGE_BYTES;
}

void range_pages_note(struct range *range)
{
    uint64_t large_end = range->address; /* of the page that the last large extent ends in */

    for (struct extent *extent = range->first; extent; extent = extent->after) {
        uint64_t begin = extent->node.address, last = extent_end(extent) - 1;

        if (is_large(extent)) {
            page_set(range, begin, false);
            page_set(range, last, false);
            large_end = page_begin(last) + RANGE_PAGE_BYTES;
        } else if (extent->use == EXTENT_LIVE) {
            if (begin >= large_end)
                page_set(range, begin, true);
            page_set(range, last, last >= large_end);
        }
    }
}

static void page_look(struct range *range, const struct extent *free, uint64_t page)
{
    uint64_t end = page + RANGE_PAGE_BYTES;
    struct extent *first = range_at(range, page);

    if (range_page_is_small(range, page) || (page >= free->node.address && end <= extent_end(free)))
        return;
    for (const struct extent *extent = first; extent && extent->node.address < end;
         extent = extent->after)
        if (is_large(extent))
            return;
    page_set(range, page, true);
    for (struct extent *extent = first; extent && extent->node.address < end;
         extent = extent->after)
        if (extent->node.address >= page)
            range_rebin(range, extent);
}

void range_page_left(struct range *range, const struct extent *free)
{
    page_look(range, free, page_begin(free->node.address));
    page_look(range, free, page_begin(extent_end(free) - 1));
}

struct spot {
    struct extent *extent; /* NULL: none yet */
    uint64_t address;
    uint64_t pages_bytes; /* that are wholly free and would no longer be */
};

static void spot_offer(struct spot *spot, struct extent *extent, uint64_t address, uint64_t bytes)
{
    uint64_t begin = extent->node.address, end = extent_end(extent);

    if (address < begin || address + bytes > end)
        return;
    uint64_t pages = pages_bytes(begin, end) - pages_bytes(begin, address) -
                     pages_bytes(address + bytes, end);
    if (!spot->extent || pages < spot->pages_bytes)
        *spot = (struct spot){extent, address, pages};
}

static void spots_offer(struct spot *spot, struct extent *extent, uint64_t bytes)
{
    spot_offer(spot, extent, range_page_from(extent->node.address, bytes), bytes);
    spot_offer(spot, extent, range_page_to(extent_end(extent), bytes), bytes);
}

/* Takes the place that costs the fewest free pages; of equal ones in the smallest extent. If a
 * search finds none, the smallest extent that certainly has one gives it. */
static struct extent *large_take(struct range *range, uint64_t bytes)
{
    struct size_node *node = size_tree_best(&range->free, bytes);
    struct spot spot = {0};

    for (unsigned tries = 0; node && tries < PAGE_TRIES; tries++) {
        spots_offer(&spot, extent_of(node), bytes);
        node = size_tree_at_least(&range->free, node->bytes, node->address + 1);
    }
    if (!spot.extent)
        node = size_tree_best(&range->free, bytes + RANGE_PAGE_BYTES - RANGE_GRAIN_BYTES);
    if (!spot.extent && node)
        spots_offer(&spot, extent_of(node), bytes);
    return spot.extent ? range_take_at(range, spot.extent, spot.address, bytes) : NULL;
}

/* Whether a small block fits beside the whole pages of an extent, in a small page. */
static bool small_beside(const struct range *range, const struct extent *extent, uint64_t bytes,
                         uint64_t *ret_address)
{
    uint64_t begin = extent->node.address, end = extent_end(extent);
    uint64_t first = pool_round_up(begin, RANGE_PAGE_BYTES), last = page_begin(end);

    if (begin + bytes <= first && range_page_is_small(range, begin))
        *ret_address = begin;
    else if (last + bytes <= end && range_page_is_small(range, last))
        *ret_address = end - bytes;
    else
        return false;
    return true;
}

static struct extent *small_take(struct range *range, uint64_t bytes)
{
    struct extent *extent = range_bins_best(&range->small_bins, bytes);
    struct size_node *node = size_tree_best(&range->free, RANGE_PAGE_BYTES);
    uint64_t address;

    if (extent)
        return range_take_at(range, extent, extent->node.address, bytes);
    for (unsigned tries = 0; node && tries < PAGE_TRIES; tries++) {
        if (small_beside(range, extent_of(node), bytes, &address))
            return range_take_at(range, extent_of(node), address, bytes);
        node = size_tree_at_least(&range->free, node->bytes, node->address + 1);
    }
    extent = page_find(range, &address);
    return extent ? range_take_at(range, extent, address, bytes) : NULL;
}

struct extent *range_page_take(struct range *range, uint64_t bytes)
{
    return bytes < RANGE_PAGE_BYTES ? small_take(range, bytes) : large_take(range, bytes);
}
