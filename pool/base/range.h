/* SPDX-License-Identifier: MIT */
/*
 * A range of reserved addresses, divided into extents: holes without memory, free memory, live
 * blocks, and extents in transition. Placement is best fit, in units of 512 B; free neighbours
 * join, also across the pages and handles below them. A small block is cut from the end of a larger
 * extent, other ones from the front, so that they lie apart. Where memory is short and in pieces,
 * placement by page replaces best fit (range_page.c).
 *
 *   the extents, by address, cover the range without gap or overlap
 *   no two neighbours are both holes, both free or both spent
 *   holes begin and end at multiples of 2 MiB
 *
 * Free extents below 2 MiB lie in one list for each size, with a bitmap of non-empty lists; larger
 * ones in a tree, the lowest of equals first. So allocating and freeing a block costs the same
 * however many there are. An address finds its extent through the first extent that begins in its
 * 32 KiB window, or in the nearest earlier window that has one.
 *
 * The range does not know how memory is mapped: mapped.h puts memory into holes and takes it out of
 * free extents.
 *
 * Threading: the caller's lock guards a range.
 */
#ifndef POOL_BASE_RANGE_H
#define POOL_BASE_RANGE_H

#include "pool/base/base.h"
#include "pool/base/size_tree.h"

#define RANGE_GRAIN_BYTES  UINT64_C(512)
#define RANGE_PAGE_BYTES   (UINT64_C(2) << 20)
#define RANGE_WINDOW_BYTES (UINT64_C(32) << 10)

/* Largest block that is cut from the end. */
#define RANGE_SMALL_BYTES (UINT64_C(128) << 10)

/** Windows per word of the bitmap, and words per word of the next level. */
#define RANGE_WORD_BITS 64u

enum extent_use {
    EXTENT_HOLE,     /* without memory */
    EXTENT_FREE,     /* may be handed out, and unmapped */
    EXTENT_LIVE,     /* the caller's */
    EXTENT_FILLING,  /* a hole that memory is being mapped into */
    EXTENT_EMPTYING, /* free memory that is being unmapped, or kept from being handed out */
    EXTENT_SPENT,    /* free memory that is not handed out again */
    EXTENT_FENCE,    /* without memory, and kept so: beside isolated extents, and where one was */
    EXTENT_USES,
};

struct extent {
    struct size_node node; /* place; its links are those of the tree or list of its kind */
    struct extent *before, *after;
    uint8_t use;   /* enum extent_use */
    bool occupied; /* the caller's, as the next; neither when an extent gets another use */
    bool exported; /* it is spent when it is given back */
    bool isolated; /* between fences; its memory goes back with it */
    bool small;    /* a free one in small_bins */
};

#define RANGE_BINS (RANGE_PAGE_BYTES / RANGE_GRAIN_BYTES) /* by size in grains */

/* Free extents below 2 MiB. */
struct range_bins {
    uint64_t word;                               /* bit w: used[w] is not 0 */
    uint64_t used[RANGE_BINS / RANGE_WORD_BITS]; /* bit b: first[b] is not NULL */
    struct extent *first[RANGE_BINS];
};

struct range {
    uint64_t address, bytes;
    size_t extent_bytes; /* of an extent and what the caller keeps behind it */
    struct extent *first, *unused;
    struct extent *leaving;  /* isolated ones that were given back, by their left links */
    struct extent **starts;  /* by window: the first extent that begins in it; NULL: none does */
    uint64_t *windows_begun; /* bit w: starts[w] is not NULL */
    uint64_t *words_begun;   /* bit w: windows_begun[w] is not 0 */
    uint64_t *small_pages;   /* bit p: by page, the block that began page p was small */
    bool by_page;
    struct size_tree free, holes, spent;
    struct range_bins bins, small_bins; /* small_bins: that begin in small pages; else empty */
    pool_count bytes_of[EXTENT_USES];   /* written under the lock, read by anyone */
    uint64_t whole_pages_bytes;         /* of the pages that lie wholly in a free extent */
    uint64_t holes_count;
    pool_count *account; /* bytes of host memory */
};

/**
 * Creates a range; `address` and `bytes` are multiples of 2 MiB; all of it is a hole.
 * `extent_bytes`: at least sizeof(struct extent), a multiple of 16. Errors: -ENOMEM: the host has
 * no memory.
 */
int range_init(struct range *range, uint64_t address, uint64_t bytes, size_t extent_bytes,
               pool_count *account);

/** Frees the host's memory; extents are invalid afterwards. */
void range_done(struct range *range);

/** Takes `bytes` (a multiple of the grain) from the best free extent; NULL: nothing fits. */
struct extent *range_take(struct range *range, uint64_t bytes);

/** The same from the best free extent even where placement is by page. */
struct extent *range_take_anywhere(struct range *range, uint64_t bytes);

/** Takes a part of a free extent. NULL: the host has no memory. */
struct extent *range_take_at(struct range *range, struct extent *free, uint64_t address,
                             uint64_t bytes);

/** Takes 2 MiB that begin at a multiple of 2 MiB; NULL: no free extent has them. */
struct extent *range_take_page(struct range *range);

/** The free extent that holds an address, or NULL. */
struct extent *range_free_at(const struct range *range, uint64_t address);

/** Frees a live extent; the extent may be gone afterwards. */
void range_give(struct range *range, struct extent *live);

/** Frees an isolated live extent: it waits on the list of leaving ones until it is unmapped. */
void range_leave(struct range *range, struct extent *isolated);

/** The live extent that holds an address, or NULL. */
struct extent *range_find(const struct range *range, uint64_t address);

/** Returns the extent that holds an address of the range, whatever its use. */
struct extent *range_at(const struct range *range, uint64_t address);

/** Changes the use of a part of one extent, without joining it to its neighbours. NULL: the host
 * has no memory, and nothing has changed. */
struct extent *range_claim(struct range *range, uint64_t address, uint64_t bytes,
                           enum extent_use use);

/** Changes the use of an extent that is not in a tree, and joins it to neighbours of that use. */
void range_settle(struct range *range, struct extent *extent, enum extent_use use);

/** Where memory is missing for a request, and how much. */
struct range_gap {
    uint64_t address, bytes;  /* what to fill; multiples of 2 MiB */
    uint64_t room;            /* of the hole */
    uint64_t block;           /* where the request will lie */
    bool from_end;            /* of the hole: more than `bytes` goes below `address` */
    struct extent *beside[2]; /* free extents that it will join; NULL: none */
};

/** Whether a gap can be filled. */
typedef bool range_gap_test(void *state, const struct range_gap *gap);

/**
 * Finds the gap that needs the least memory so that `bytes` fit into one extent, by page if that is
 * said; of equal ones the lowest; only gaps that pass the test (NULL: all do). Errors: -ENOSPC:
 * there is none.
 */
int range_gap_find(const struct range *range, uint64_t bytes, bool by_page, range_gap_test *test,
                   void *state, struct range_gap *ret_gap);

/** Begins or ends placement by page (range_page.c). */
void range_by_page_set(struct range *range, bool by_page);

/** Bytes of free memory in pages that are not wholly free. */
uint64_t range_pieces_bytes(const struct range *range);

/** Bytes of the largest free extent. */
uint64_t range_largest_free(const struct range *range);

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
