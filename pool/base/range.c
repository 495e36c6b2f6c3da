/* SPDX-License-Identifier: MIT */
/*
 * Every change is a split of an extent, a change of its use, and a join with its neighbours. The
 * extents that a change needs are allocated before anything is written, so a failure leaves the
 * range unchanged.
 */
#include "pool/base/range.h"

#include <errno.h>

#include "pool/base/metadata.h"
#include "pool/base/range_inner.h"

static struct extent *extent_new(struct range *range)
{
    struct extent *extent = range->unused;

    if (extent)
        range->unused = extent->after;
    else
        extent = metadata_allocate(METADATA_EXTENT, range->extent_bytes, range->account);
    return extent;
}

static void extent_delete(struct range *range, struct extent *extent)
{
    extent->after = range->unused;
    range->unused = extent;
}

/* ---- the list by address, and the first extent of each window ---- */

static uint64_t window_of(const struct range *range, uint64_t address)
{
    return (address - range->address) / RANGE_WINDOW_BYTES;
}

static uint64_t bit_of(uint64_t index)
{
    return UINT64_C(1) << index % RANGE_WORD_BITS;
}

static void start_set(struct range *range, uint64_t window, struct extent *extent)
{
    uint64_t word = window / RANGE_WORD_BITS;

    range->starts[window] = extent;
    if (extent)
        range->windows_begun[word] |= bit_of(window);
    else
        range->windows_begun[word] &= ~bit_of(window);
    if (range->windows_begun[word] != 0)
        range->words_begun[word / RANGE_WORD_BITS] |= bit_of(word);
    else
        range->words_begun[word / RANGE_WORD_BITS] &= ~bit_of(word);
}

/* The bits of a word up to and with bit `index`. */
static uint64_t bits_up_to(uint64_t word, uint64_t index)
{
    return word & (~UINT64_C(0) >> (RANGE_WORD_BITS - 1 - index % RANGE_WORD_BITS));
}

/* Returns the last window at or before this one in which an extent begins; the first extent of
 * the range begins in window 0. */
static uint64_t window_begun(const struct range *range, uint64_t window)
{
    uint64_t word = window / RANGE_WORD_BITS;
    uint64_t bits = bits_up_to(range->windows_begun[word], window);

    if (bits == 0) {
        uint64_t upper = --word / RANGE_WORD_BITS;
        uint64_t words = bits_up_to(range->words_begun[upper], word);

        while (words == 0)
            words = range->words_begun[--upper];
        word = upper * RANGE_WORD_BITS + pool_log2_floor(words);
        bits = range->windows_begun[word];
    }
    return word * RANGE_WORD_BITS + pool_log2_floor(bits);
}

static void list_insert(struct range *range, struct extent *extent, struct extent *before)
{
    struct extent *after = before ? before->after : range->first;
    uint64_t window = window_of(range, extent->node.address);
    const struct extent *start = range->starts[window];

    extent->before = before;
    extent->after = after;
    *(before ? &before->after : &range->first) = extent;
    if (after)
        after->before = extent;
    if (!start || start->node.address > extent->node.address)
        start_set(range, window, extent);
}

static void list_remove(struct range *range, struct extent *extent)
{
    struct extent *after = extent->after;
    uint64_t window = window_of(range, extent->node.address);

    if (range->starts[window] == extent)
        start_set(range, window,
                  after && window_of(range, after->node.address) == window ? after : NULL);
    *(extent->before ? &extent->before->after : &range->first) = after;
    if (after)
        after->before = extent->before;
}

/* ---- trees and lists by size ---- */

static struct range_bins *bins_of(struct range *range, const struct extent *extent)
{
    return extent->small ? &range->small_bins : &range->bins;
}

static void bin_insert(struct range *range, struct extent *extent)
{
    extent->small = range->by_page && range_page_is_small(range, extent->node.address);
    struct range_bins *bins = bins_of(range, extent);
    uint64_t bin = extent->node.bytes / RANGE_GRAIN_BYTES;
    struct extent *next = bins->first[bin];

    extent->node.left = NULL;
    extent->node.right = next ? &next->node : NULL;
    if (next)
        next->node.left = &extent->node;
    bins->first[bin] = extent;
    bins->used[bin / RANGE_WORD_BITS] |= bit_of(bin);
    bins->word |= bit_of(bin / RANGE_WORD_BITS);
}

static void bin_remove(struct range *range, struct extent *extent)
{
    struct range_bins *bins = bins_of(range, extent);
    uint64_t bin = extent->node.bytes / RANGE_GRAIN_BYTES;
    struct size_node *left = extent->node.left, *right = extent->node.right;

    if (right)
        right->left = left;
    if (left) {
        left->right = right;
        return;
    }
    bins->first[bin] = extent_of(right);
    if (right)
        return;
    uint64_t *word = &bins->used[bin / RANGE_WORD_BITS];
    *word &= ~bit_of(bin);
    if (*word == 0)
        bins->word &= ~bit_of(bin / RANGE_WORD_BITS);
}

struct extent *range_bins_best(const struct range_bins *bins, uint64_t bytes)
{
    uint64_t bin = bytes / RANGE_GRAIN_BYTES, word = bin / RANGE_WORD_BITS;

    if (bin >= RANGE_BINS)
        return NULL;
    uint64_t bits = bins->used[word] & ~(bit_of(bin) - 1);
    if (bits == 0) {
        uint64_t words = word + 1 < RANGE_WORD_BITS ? bins->word & ~UINT64_C(0) << (word + 1) : 0;

        if (words == 0)
            return NULL;
        word = (uint64_t)__builtin_ctzll(words);
        bits = bins->used[word];
    }
    return bins->first[word * RANGE_WORD_BITS + (uint64_t)__builtin_ctzll(bits)];
}

static struct size_tree *tree_of(struct range *range, enum extent_use use)
{
    switch (use) {
    case EXTENT_FREE: return &range->free;
    case EXTENT_HOLE: return &range->holes;
    case EXTENT_SPENT: return &range->spent;
    default: return NULL;
    }
}

static bool in_bin(const struct extent *extent)
{
    return extent->use == EXTENT_FREE && extent->node.bytes < RANGE_PAGE_BYTES;
}

static void use_begin(struct range *range, struct extent *extent, enum extent_use use)
{
    struct size_tree *tree = tree_of(range, use);

    extent->use = (uint8_t)use;
    if (in_bin(extent))
        bin_insert(range, extent);
    else if (tree)
        size_tree_insert(tree, &extent->node);
    count_add(&range->bytes_of[use], extent->node.bytes);
    if (use == EXTENT_FREE)
        range->whole_pages_bytes += range_whole_bytes(extent);
    range->holes_count += use == EXTENT_HOLE;
}

static void use_end(struct range *range, struct extent *extent)
{
    struct size_tree *tree = tree_of(range, (enum extent_use)extent->use);

    if (in_bin(extent))
        bin_remove(range, extent);
    else if (tree)
        size_tree_remove(tree, &extent->node);
    count_subtract(&range->bytes_of[extent->use], extent->node.bytes);
    if (extent->use == EXTENT_FREE)
        range->whole_pages_bytes -= range_whole_bytes(extent);
    range->holes_count -= extent->use == EXTENT_HOLE;
}

static bool joins(const struct extent *extent, enum extent_use use)
{
    return extent && extent->use == use &&
           (use == EXTENT_HOLE || use == EXTENT_FREE || use == EXTENT_SPENT);
}

/* Joins an extent with its neighbours after its use has changed; returns all of it. */
static struct extent *use_begin_joined(struct range *range, struct extent *extent,
                                       enum extent_use use)
{
    struct extent *before = extent->before, *after = extent->after;

    if (joins(after, use)) {
        use_end(range, after);
        extent->node.bytes += after->node.bytes;
        list_remove(range, after);
        extent_delete(range, after);
    }
    if (joins(before, use)) {
        use_end(range, before);
        before->node.bytes += extent->node.bytes;
        list_remove(range, extent);
        extent_delete(range, extent);
        extent = before;
    }
    use_begin(range, extent, use);
    return extent;
}

struct extent *range_use_change(struct range *range, struct extent *extent, uint64_t address,
                                uint64_t bytes, enum extent_use use)
{
    uint64_t front = address - extent->node.address;
    uint64_t back = extent_end(extent) - address - bytes;
    struct extent *middle = front > 0 ? extent_new(range) : extent;
    struct extent *rest = back > 0 && middle ? extent_new(range) : NULL;
    enum extent_use old = (enum extent_use)extent->use;

    if (!middle || (back > 0 && !rest)) {
        if (middle && middle != extent)
            extent_delete(range, middle);
        return NULL;
    }
    use_end(range, extent);
    if (front > 0) {
        extent->node.bytes = front;
        use_begin(range, extent, old);
        middle->node.address = address;
        list_insert(range, middle, extent);
    }
    middle->node.bytes = bytes;
    if (rest) {
        rest->node.address = address + bytes;
        rest->node.bytes = back;
        rest->exported = rest->occupied = rest->isolated = false;
        list_insert(range, rest, middle);
        use_begin(range, rest, old);
    }
    middle->exported = middle->occupied = middle->isolated = false;
    use_begin(range, middle, use);
    return middle;
}

void range_rebin(struct range *range, struct extent *extent)
{
    if (!in_bin(extent))
        return;
    bin_remove(range, extent);
    bin_insert(range, extent);
}

void range_by_page_set(struct range *range, bool by_page)
{
    range->by_page = by_page;
    if (by_page)
        range_pages_note(range);
    for (struct extent *extent = range->first; extent; extent = extent->after)
        range_rebin(range, extent);
}

/* ---- the interface ---- */

/* What lies beside the extents, in one mapping. */
static uint64_t tables_bytes(uint64_t windows)
{
    uint64_t words = (windows + RANGE_WORD_BITS - 1) / RANGE_WORD_BITS;
    uint64_t uppers = (words + RANGE_WORD_BITS - 1) / RANGE_WORD_BITS;

    uint64_t pages = windows / (RANGE_PAGE_BYTES / RANGE_WINDOW_BYTES);
    uint64_t page_words = (pages + RANGE_WORD_BITS - 1) / RANGE_WORD_BITS;

    return windows * sizeof(struct extent *) + (words + uppers + page_words) * sizeof(uint64_t);
}

int range_init(struct range *range, uint64_t address, uint64_t bytes, size_t extent_bytes,
               pool_count *account)
{
    uint64_t windows = bytes / RANGE_WINDOW_BYTES;
    struct extent *all;

    *range = (struct range){
        .address = address, .bytes = bytes, .extent_bytes = extent_bytes, .account = account};
    range->starts = metadata_map(tables_bytes(windows));
    if (!range->starts)
        return -ENOMEM;
    range->windows_begun = (uint64_t *)(void *)(range->starts + windows);
    uint64_t words = (windows + RANGE_WORD_BITS - 1) / RANGE_WORD_BITS;
    range->words_begun = range->windows_begun + words;
    range->small_pages = range->words_begun + (words + RANGE_WORD_BITS - 1) / RANGE_WORD_BITS;
    all = extent_new(range);
    if (!all) {
        metadata_unmap(range->starts, tables_bytes(windows));
        return -ENOMEM;
    }
    all->node.address = address;
    all->node.bytes = bytes;
    all->exported = all->occupied = all->isolated = false;
    list_insert(range, all, NULL);
    use_begin(range, all, EXTENT_HOLE);
    return 0;
}

static void extents_free(struct range *range, struct extent *extent)
{
    for (struct extent *next; extent; extent = next) {
        next = extent->after;
        metadata_free(METADATA_EXTENT, extent, range->extent_bytes, range->account);
    }
}

void range_done(struct range *range)
{
    extents_free(range, range->first);
    extents_free(range, range->unused);
    metadata_unmap(range->starts, tables_bytes(range->bytes / RANGE_WINDOW_BYTES));
}

struct extent *range_take_at(struct range *range, struct extent *free, uint64_t address,
                             uint64_t bytes)
{
    pool_assert(free->use == EXTENT_FREE);
    if (range->by_page)
        range_page_note(range, free, address, bytes);
    return range_use_change(range, free, address, bytes, EXTENT_LIVE);
}

struct extent *range_take_anywhere(struct range *range, uint64_t bytes)
{
    struct extent *best = range_bins_best(&range->bins, bytes);

    pool_assert(bytes > 0 && bytes % RANGE_GRAIN_BYTES == 0);
    if (!best)
        best = range_bins_best(&range->small_bins, bytes);
    if (best)
        return range_take_at(range, best, best->node.address, bytes);
    best = extent_of(size_tree_best(&range->free, bytes));
    if (!best)
        return NULL;
    bool end = bytes <= RANGE_SMALL_BYTES;
    return range_take_at(range, best, end ? extent_end(best) - bytes : best->node.address, bytes);
}

struct extent *range_take(struct range *range, uint64_t bytes)
{
    return unlikely(range->by_page) ? range_page_take(range, bytes)
                                    : range_take_anywhere(range, bytes);
}

void range_settle(struct range *range, struct extent *extent, enum extent_use use)
{
    bool large = extent->node.bytes >= RANGE_PAGE_BYTES;

    use_end(range, extent);
    extent = use_begin_joined(range, extent, use);
    if (range->by_page && large && use == EXTENT_FREE)
        range_page_left(range, extent);
}

void range_give(struct range *range, struct extent *live)
{
    pool_assert(live->use == EXTENT_LIVE);
    range_settle(range, live, EXTENT_FREE);
}

void range_leave(struct range *range, struct extent *isolated)
{
    pool_assert(isolated->use == EXTENT_LIVE && isolated->isolated);
    range_settle(range, isolated, EXTENT_EMPTYING);
    isolated->node.left = range->leaving ? &range->leaving->node : NULL;
    range->leaving = isolated;
}

struct extent *range_at(const struct range *range, uint64_t address)
{
    uint64_t window = window_of(range, address);
    struct extent *extent = range->starts[window];

    if (!extent || extent->node.address > address)
        extent = range->starts[window_begun(range, window - 1)];
    while (extent->after && extent->after->node.address <= address)
        extent = extent->after;
    return extent;
}

static struct extent *extent_used_at(const struct range *range, uint64_t address,
                                     enum extent_use use)
{
    struct extent *extent = NULL;

    if (address - range->address < range->bytes)
        extent = range_at(range, address);
    return extent && extent->use == use ? extent : NULL;
}

struct extent *range_find(const struct range *range, uint64_t address)
{
    return extent_used_at(range, address, EXTENT_LIVE);
}

struct extent *range_free_at(const struct range *range, uint64_t address)
{
    return extent_used_at(range, address, EXTENT_FREE);
}

struct extent *range_claim(struct range *range, uint64_t address, uint64_t bytes,
                           enum extent_use use)
{
    struct extent *extent = range_at(range, address);

    pool_assert(address + bytes <= extent_end(extent));
    return range_use_change(range, extent, address, bytes, use);
}

static uint64_t bins_largest(const struct range_bins *bins)
{
    if (bins->word == 0)
        return 0;
    uint64_t word = pool_log2_floor(bins->word);
    return (word * RANGE_WORD_BITS + pool_log2_floor(bins->used[word])) * RANGE_GRAIN_BYTES;
}

uint64_t range_largest_free(const struct range *range)
{
    const struct size_node *node = size_tree_largest(&range->free);

    return node ? node->bytes
                : pool_max(bins_largest(&range->bins), bins_largest(&range->small_bins));
}

static struct extent *free_extent(struct extent *extent)
{
    return extent && extent->use == EXTENT_FREE ? extent : NULL;
}

struct gap_search {
    uint64_t bytes; /* of the block */
    bool by_page;
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

static uint64_t block_from(const struct gap_search *search, uint64_t address)
{
    return search->by_page ? range_page_from(address, search->bytes) : address;
}

static uint64_t block_to(const struct gap_search *search, uint64_t end)
{
    return search->by_page ? range_page_to(end, search->bytes) : end - search->bytes;
}

/* The gaps that a hole offers: its front, joined to the extent before; its end, joined to the
 * extent behind; all of it, joined to both. */
static void gap_offers(const struct extent *hole, struct gap_search *search)
{
    struct extent *before = free_extent(hole->before), *after = free_extent(hole->after);
    uint64_t room = hole->node.bytes, bytes = search->bytes;
    uint64_t begin = hole->node.address, end = begin + room;
    uint64_t from = block_from(search, before ? before->node.address : begin);
    uint64_t back = after ? extent_end(after) : end;
    uint64_t to = block_to(search, back);

    if (before && from + bytes <= begin) {
        before = NULL; /* it needs no gap: a search of few extents has missed it, or it is new */
        from = begin;
    }
    if (after && to >= end) {
        after = NULL;
        back = end;
    }
    gap_offer(search,
              &(struct range_gap){.address = begin,
                                  .bytes = pool_round_up(from + bytes - begin, RANGE_PAGE_BYTES),
                                  .room = room,
                                  .block = from,
                                  .beside = {before}});
    if (after)
        gap_offer(search, &(struct range_gap){.address = to & ~(RANGE_PAGE_BYTES - 1),
                                              .bytes = end - (to & ~(RANGE_PAGE_BYTES - 1)),
                                              .room = room,
                                              .block = to,
                                              .from_end = true,
                                              .beside = {after}});
    if (before && after && from + bytes <= back)
        gap_offer(search, &(struct range_gap){.address = begin,
                                              .bytes = room,
                                              .room = room,
                                              .block = from,
                                              .beside = {before, after}});
}

int range_gap_find(const struct range *range, uint64_t bytes, bool by_page, range_gap_test *test,
                   void *state, struct range_gap *ret_gap)
{
    struct gap_search search = {.bytes = bytes, .by_page = by_page, .test = test, .state = state};

    for (struct size_node *node = size_tree_largest(&range->holes); node;
         node = size_tree_previous(&range->holes, node))
        gap_offers(extent_of(node), &search);
    if (!search.best.bytes)
        return -ENOSPC;
    *ret_gap = search.best;
    return 0;
}

/* ---- check ---- */

struct tally {
    uint64_t bytes[EXTENT_USES], count[EXTENT_USES];
    uint64_t binned_bytes, binned_count, whole_pages_bytes;
};

static const char *extent_check(const struct range *range, const struct extent *extent, uint64_t at,
                                struct tally *tally)
{
    const struct extent *start = range->starts[window_of(range, extent->node.address)];

    if (extent->node.address != at || extent->node.bytes == 0)
        return "range: extents leave a gap, overlap or are empty";
    if (extent->after && extent->after->before != extent)
        return "range: broken links in the list";
    if (joins(extent->after, (enum extent_use)extent->use))
        return "range: two free neighbours are not merged";
    if (extent->use == EXTENT_HOLE && (at | extent->node.bytes) % RANGE_PAGE_BYTES)
        return "range: a hole is not a multiple of pages";
    if (!start || start->node.address > at)
        return "range: a window does not name its first extent";
    if (range_at(range, at) != extent || range_at(range, extent_end(extent) - 1) != extent)
        return "range: look-up by address does not find an extent";
    tally->count[extent->use]++;
    tally->bytes[extent->use] += extent->node.bytes;
    tally->binned_count += in_bin(extent);
    if (extent->use == EXTENT_FREE)
        tally->whole_pages_bytes += range_whole_bytes(extent);
    tally->binned_bytes += in_bin(extent) ? extent->node.bytes : 0;
    return NULL;
}

/* Counts the extents down. */
static const char *bins_check(const struct range *range, bool small, struct tally *tally)
{
    const struct range_bins *bins = small ? &range->small_bins : &range->bins;

    for (uint64_t bin = 0; bin < RANGE_BINS; bin++) {
        const struct extent *extent = bins->first[bin];
        bool used = bins->used[bin / RANGE_WORD_BITS] & bit_of(bin);

        if (used != (extent != NULL))
            return "range: the bitmap differs from the lists of free extents";
        for (; extent; extent = extent_of(extent->node.right), tally->binned_count--) {
            if (extent->use != EXTENT_FREE || extent->node.bytes != bin * RANGE_GRAIN_BYTES)
                return "range: a free extent is in the wrong list";
            if (extent->small != small ||
                (range->by_page && range_page_is_small(range, extent->node.address) != small))
                return "range: a free extent is in the list of the wrong kind of pages";
            tally->binned_bytes -= extent->node.bytes;
        }
    }
    return NULL;
}

static const char *tree_check(const struct size_tree *tree, uint64_t count, uint64_t bytes)
{
    uint64_t tree_count, tree_bytes;
    const char *why = size_tree_check(tree, &tree_count, &tree_bytes);

    if (why)
        return why;
    return tree_count == count && tree_bytes == bytes ? NULL
                                                      : "range: a tree differs from the list";
}

const char *range_check(const struct range *range)
{
    struct tally tally = {0};
    uint64_t at = range->address;
    const char *why = NULL;

    for (const struct extent *extent = range->first; extent && !why; extent = extent->after) {
        why = extent_check(range, extent, at, &tally);
        at = extent_end(extent);
    }
    if (!why && at != range->address + range->bytes)
        why = "range: the extents do not cover the range";
    uint64_t binned_count = tally.binned_count, binned_bytes = tally.binned_bytes;
    if (!why)
        why = bins_check(range, false, &tally);
    if (!why)
        why = bins_check(range, true, &tally);
    if (!why && (tally.binned_count || tally.binned_bytes))
        why = "range: the lists of free extents differ from the list by address";
    if (!why)
        why = tree_check(&range->free, tally.count[EXTENT_FREE] - binned_count,
                         tally.bytes[EXTENT_FREE] - binned_bytes);
    if (!why)
        why = tree_check(&range->holes, tally.count[EXTENT_HOLE], tally.bytes[EXTENT_HOLE]);
    if (!why)
        why = tree_check(&range->spent, tally.count[EXTENT_SPENT], tally.bytes[EXTENT_SPENT]);
    for (unsigned use = 0; !why && use < EXTENT_USES; use++)
        if (count_get(&range->bytes_of[use]) != tally.bytes[use])
            why = "range: bytes differ from the counters";
    if (!why && range->whole_pages_bytes != tally.whole_pages_bytes)
        why = "range: whole pages of free memory differ from the counter";
    if (!why && range->holes_count != tally.count[EXTENT_HOLE])
        why = "range: number of holes differs from the counter";
    return why;
}
