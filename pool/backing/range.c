/* SPDX-License-Identifier: MIT */
/*
 * Every change is a split of an extent, a change of its use, and a join with its neighbours. The
 * extents that a change needs are allocated before anything is written, so a failure leaves the
 * range as it was.
 */
#include "pool/backing/range.h"

#include <errno.h>

#include "pool/base/metadata.h"

static struct extent *extent_new(struct range *range)
{
    return metadata_allocate(METADATA_EXTENT, sizeof(struct extent), range->account);
}

static void extent_delete(struct range *range, struct extent *extent)
{
    metadata_free(METADATA_EXTENT, extent, sizeof(*extent), range->account);
}

static struct extent **start_slot(const struct range *range, uint64_t address)
{
    return &range->starts[(address - range->address) / RANGE_PAGE_BYTES];
}

/* ---- the list by address, and the first extent of each page ---- */

static void list_insert(struct range *range, struct extent *extent, struct extent *before)
{
    struct extent *after = before ? before->after : range->first;
    struct extent **start = start_slot(range, extent->node.address);

    extent->before = before;
    extent->after = after;
    *(before ? &before->after : &range->first) = extent;
    if (after)
        after->before = extent;
    if (!*start || (*start)->node.address > extent->node.address)
        *start = extent;
}

static void list_remove(struct range *range, struct extent *extent)
{
    struct extent *after = extent->after;
    struct extent **start = start_slot(range, extent->node.address);

    if (*start == extent)
        *start = after && start_slot(range, after->node.address) == start ? after : NULL;
    *(extent->before ? &extent->before->after : &range->first) = after;
    if (after)
        after->before = extent->before;
}

/* ---- trees ---- */

static struct size_tree *tree_of(struct range *range, enum extent_use use)
{
    return use == EXTENT_FREE ? &range->free : use == EXTENT_HOLE ? &range->holes : NULL;
}

static void use_begin(struct range *range, struct extent *extent, enum extent_use use)
{
    struct size_tree *tree = tree_of(range, use);

    extent->use = use;
    if (tree)
        size_tree_insert(tree, &extent->node);
    if (use == EXTENT_FREE)
        range->free_bytes += extent->node.bytes;
    if (use == EXTENT_LIVE)
        range->live_bytes += extent->node.bytes;
}

static void use_end(struct range *range, struct extent *extent)
{
    struct size_tree *tree = tree_of(range, extent->use);

    if (tree)
        size_tree_remove(tree, &extent->node);
    if (extent->use == EXTENT_FREE)
        range->free_bytes -= extent->node.bytes;
    if (extent->use == EXTENT_LIVE)
        range->live_bytes -= extent->node.bytes;
}

/* Joins an extent whose use has ended with the neighbours that have the same new use. */
static void use_begin_joined(struct range *range, struct extent *extent, enum extent_use use)
{
    struct extent *before = extent->before, *after = extent->after;

    if (after && after->use == use) {
        use_end(range, after);
        extent->node.bytes += after->node.bytes;
        list_remove(range, after);
        extent_delete(range, after);
    }
    if (before && before->use == use) {
        use_end(range, before);
        before->node.bytes += extent->node.bytes;
        list_remove(range, extent);
        extent_delete(range, extent);
        extent = before;
    }
    use_begin(range, extent, use);
}

/*
 * Gives [address, address + bytes) of an extent another use; what is left of it before and behind
 * keeps the old one.
 */
static struct extent *use_change(struct range *range, struct extent *extent, uint64_t address,
                                 uint64_t bytes, enum extent_use use, bool join)
{
    uint64_t front = address - extent->node.address;
    uint64_t back = extent_end(extent) - address - bytes;
    struct extent *middle = front ? extent_new(range) : extent;
    struct extent *rest = back ? extent_new(range) : NULL;
    enum extent_use old = extent->use;

    if (!middle || (back && !rest)) {
        if (middle && middle != extent)
            extent_delete(range, middle);
        if (rest)
            extent_delete(range, rest);
        return NULL;
    }
    use_end(range, extent);
    if (front) {
        extent->node.bytes = front;
        use_begin(range, extent, old);
        middle->node.address = address;
        list_insert(range, middle, extent);
    }
    middle->node.bytes = bytes;
    if (rest) {
        rest->node.address = address + bytes;
        rest->node.bytes = back;
        list_insert(range, rest, middle);
        use_begin(range, rest, old);
    }
    if (join)
        use_begin_joined(range, middle, use);
    else
        use_begin(range, middle, use);
    return middle;
}

/* ---- the interface ---- */

int range_init(struct range *range, uint64_t address, uint64_t bytes, pool_count *account)
{
    struct extent *all;

    *range = (struct range){.address = address, .bytes = bytes, .account = account};
    range->starts = metadata_map(bytes / RANGE_PAGE_BYTES * sizeof(*range->starts));
    all = range->starts ? extent_new(range) : NULL;
    if (!all)
        return -ENOMEM;
    all->node.address = address;
    all->node.bytes = bytes;
    list_insert(range, all, NULL);
    use_begin(range, all, EXTENT_HOLE);
    return 0;
}

struct extent *range_take_from(struct range *range, struct extent *free, uint64_t bytes)
{
    pool_assert(free->use == EXTENT_FREE && bytes <= free->node.bytes);
    return use_change(range, free, free->node.address, bytes, EXTENT_LIVE, false);
}

struct extent *range_take_end(struct range *range, struct extent *free, uint64_t bytes)
{
    pool_assert(free->use == EXTENT_FREE && bytes <= free->node.bytes);
    return use_change(range, free, extent_end(free) - bytes, bytes, EXTENT_LIVE, false);
}

struct extent *range_take(struct range *range, uint64_t bytes)
{
    struct extent *best = extent_of(size_tree_best(&range->free, bytes));

    pool_assert(bytes && bytes % RANGE_GRAIN_BYTES == 0);
    return best ? range_take_from(range, best, bytes) : NULL;
}

void range_give(struct range *range, struct extent *live)
{
    pool_assert(live->use == EXTENT_LIVE);
    use_end(range, live);
    use_begin_joined(range, live, EXTENT_FREE);
}

/* The last extent that begins at or below an address. */
static struct extent *extent_at(const struct range *range, uint64_t address)
{
    struct extent **start = start_slot(range, address), *extent = *start;

    if (!extent || extent->node.address > address) {
        while (start > range->starts && !*--start)
            ;
        for (extent = *start; extent->after && extent->after->node.address <= address;)
            extent = extent->after;
        return extent;
    }
    while (extent->after && extent->after->node.address <= address)
        extent = extent->after;
    return extent;
}

struct extent *range_find(const struct range *range, uint64_t address)
{
    struct extent *extent = NULL;

    if (address - range->address < range->bytes)
        extent = extent_at(range, address);
    return extent && extent->use == EXTENT_LIVE ? extent : NULL;
}

struct extent *range_free_at(const struct range *range, uint64_t address)
{
    struct extent *extent = NULL;

    if (address - range->address < range->bytes)
        extent = extent_at(range, address);
    return extent && extent->use == EXTENT_FREE ? extent : NULL;
}

static struct extent *free_extent(struct extent *extent)
{
    return extent && extent->use == EXTENT_FREE ? extent : NULL;
}

struct gap_search {
    range_gap_test *test;
    void *state;
    struct range_gap best; /* bytes 0: none yet */
};

static void gap_offer(struct gap_search *search, const struct range_gap *gap)
{
    const struct range_gap *best = &search->best;

    if (best->bytes &&
        (gap->bytes > best->bytes || (gap->bytes == best->bytes && gap->address > best->address)))
        return;
    if (gap->bytes <= gap->room && (!search->test || search->test(search->state, gap)))
        search->best = *gap;
}

/* What a hole offers: its front, joined to what is before it; its end, joined to what follows; all
 * of it, joined to both. */
static void gap_offers(const struct extent *hole, uint64_t bytes, struct gap_search *search)
{
    struct extent *before = free_extent(hole->before), *after = free_extent(hole->after);
    uint64_t room = hole->node.bytes;
    uint64_t front = pool_round_up(bytes - (before ? before->node.bytes : 0), RANGE_PAGE_BYTES);
    uint64_t end = after ? pool_round_up(bytes - after->node.bytes, RANGE_PAGE_BYTES) : 0;

    gap_offer(search,
              &(struct range_gap){
                  .address = hole->node.address, .bytes = front, .room = room, .beside = {before}});
    if (after)
        gap_offer(search, &(struct range_gap){.address = extent_end(hole) - end,
                                              .bytes = end,
                                              .room = room,
                                              .from_end = true,
                                              .beside = {after}});
    if (before && after && before->node.bytes + room + after->node.bytes >= bytes)
        gap_offer(search, &(struct range_gap){.address = hole->node.address,
                                              .bytes = room,
                                              .room = room,
                                              .beside = {before, after}});
}

int range_gap_find(const struct range *range, uint64_t bytes, range_gap_test *test, void *state,
                   struct range_gap *ret_gap)
{
    struct gap_search search = {.test = test, .state = state};

    for (struct size_node *node = size_tree_largest(&range->holes); node;
         node = size_tree_previous(&range->holes, node))
        gap_offers(extent_of(node), bytes, &search);
    if (!search.best.bytes)
        return -ENOSPC;
    *ret_gap = search.best;
    return 0;
}

static int part_change(struct range *range, uint64_t address, uint64_t bytes, enum extent_use from,
                       enum extent_use to)
{
    struct extent *extent = extent_at(range, address);

    pool_assert(extent->use == from && address + bytes <= extent_end(extent));
    return use_change(range, extent, address, bytes, to, true) ? 0 : -ENOMEM;
}

int range_fill(struct range *range, uint64_t address, uint64_t bytes)
{
    return part_change(range, address, bytes, EXTENT_HOLE, EXTENT_FREE);
}

int range_empty(struct range *range, uint64_t address, uint64_t bytes)
{
    return part_change(range, address, bytes, EXTENT_FREE, EXTENT_HOLE);
}

const char *range_check(const struct range *range)
{
    uint64_t at = range->address, count[3] = {0}, bytes[3] = {0}, tree_count, tree_bytes;
    const char *why;

    for (const struct extent *extent = range->first; extent; extent = extent->after) {
        const struct extent *start = *start_slot(range, extent->node.address);
        if (extent->node.address != at || !extent->node.bytes)
            return "range: extents leave a gap, overlap or are empty";
        if (extent->after && extent->after->before != extent)
            return "range: the list is broken";
        if (extent->after && extent->use != EXTENT_LIVE && extent->after->use == extent->use)
            return "range: two neighbours should have joined";
        if (extent->use == EXTENT_HOLE && (at | extent->node.bytes) % RANGE_PAGE_BYTES)
            return "range: a hole is not made of pages";
        if (!start || start->node.address > at)
            return "range: a page does not know its first extent";
        count[extent->use]++;
        bytes[extent->use] += extent->node.bytes;
        at += extent->node.bytes;
    }
    if (at != range->address + range->bytes)
        return "range: the extents do not cover it";
    why = size_tree_check(&range->free, &tree_count, &tree_bytes);
    if (why || tree_count != count[EXTENT_FREE] || tree_bytes != bytes[EXTENT_FREE])
        return why ? why : "range: the tree of free extents differs from the list";
    why = size_tree_check(&range->holes, &tree_count, &tree_bytes);
    if (why || tree_count != count[EXTENT_HOLE] || tree_bytes != bytes[EXTENT_HOLE])
        return why ? why : "range: the tree of holes differs from the list";
    if (range->free_bytes != bytes[EXTENT_FREE] || range->live_bytes != bytes[EXTENT_LIVE])
        return "range: bytes differ from the counters";
    return NULL;
}
