/* SPDX-License-Identifier: MIT */
/*
 * The range of addresses against a map of its grains, and the rules of placement.
 */
#include "tests/unit/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/base/range.h"

#define BASE  (UINT64_C(1) << 40)
#define MIB   (UINT64_C(1) << 20)
#define PAGES 16u

static struct range range;
static pool_count account;

static void setup(void)
{
    cr_assert_eq(
        range_init(&range, BASE, PAGES * RANGE_PAGE_BYTES, sizeof(struct extent), &account), 0);
}

static int range_change(uint64_t address, uint64_t bytes, enum extent_use use)
{
    struct extent *extent = range_claim(&range, address, bytes, EXTENT_EMPTYING);

    cr_assert_null(range_check(&range));
    if (extent)
        range_settle(&range, extent, use);
    return extent ? 0 : -ENOMEM;
}

static uint64_t take(uint64_t bytes)
{
    struct extent *extent = range_take(&range, bytes);

    cr_assert_null(range_check(&range));
    return extent ? extent->node.address - BASE : UINT64_MAX;
}

static void give(uint64_t address)
{
    struct extent *extent = range_find(&range, BASE + address);

    cr_assert_not_null(extent);
    range_give(&range, extent);
    cr_assert_null(range_check(&range));
}

Test(range, a_hole_is_not_handed_out, .init = setup)
{
    cr_assert_eq(take(512), UINT64_MAX);
    cr_assert_eq(range_change(BASE + 2 * MIB, 2 * MIB, EXTENT_FREE), 0);
    cr_assert_eq(take(512), 4 * MIB - 512, "a small block lies at the end");
    cr_assert_eq(take(4 * MIB), UINT64_MAX);
}

Test(range, the_best_fit_is_taken_and_the_lowest_of_equals, .init = setup)
{
    range_change(BASE, 2 * MIB, EXTENT_FREE);
    range_change(BASE + 4 * MIB, 4 * MIB, EXTENT_FREE);
    range_change(BASE + 10 * MIB, 2 * MIB, EXTENT_FREE);
    cr_assert_eq(take(3 * MIB), 4 * MIB, "the only one that is large enough");
    cr_assert_eq(take(MIB), 7 * MIB, "its rest is the tightest fit");
    cr_assert_eq(take(MIB), 0, "the lower of two equal ones");
}

Test(range, free_neighbours_join_across_pages, .init = setup)
{
    range_change(BASE, 4 * MIB, EXTENT_FREE);
    range_change(BASE + 4 * MIB, 2 * MIB, EXTENT_FREE);
    uint64_t first = take(MIB), second = take(3 * MIB), third = take(2 * MIB);
    give(first);
    give(third);
    give(second);
    cr_assert_eq(take(6 * MIB), 0);
}

Test(range, an_address_finds_its_block, .init = setup)
{
    range_change(BASE, 8 * MIB, EXTENT_FREE);
    uint64_t first = take(5 * MIB), second = take(512);
    cr_assert_eq(range_find(&range, BASE + first + 5 * MIB - 1)->node.address, BASE + first);
    cr_assert_eq(range_find(&range, BASE + second)->node.bytes, 512);
    cr_assert_null(range_find(&range, BASE + second + 512), "free");
    cr_assert_null(range_find(&range, BASE + 20 * MIB), "a hole");
    cr_assert_null(range_find(&range, BASE - 1), "not in the range");
    cr_assert_null(range_find(&range, BASE + PAGES * RANGE_PAGE_BYTES), "not in the range");
}

Test(range, the_gap_takes_as_little_as_can_be, .init = setup)
{
    struct range_gap gap;

    /* free 2 MiB, hole 2 MiB, free 4 MiB (1 MiB of it live), hole */
    range_change(BASE, 2 * MIB, EXTENT_FREE);
    range_change(BASE + 4 * MIB, 4 * MIB, EXTENT_FREE);
    cr_assert_eq(range_gap_find(&range, 7 * MIB, false, NULL, NULL, &gap), 0);
    cr_assert_eq(gap.bytes, 2 * MIB);
    cr_assert_eq(gap.address, BASE + 2 * MIB, "between the two");
    cr_assert_eq(range_gap_find(&range, 9 * MIB, false, NULL, NULL, &gap), 0);
    cr_assert_eq(gap.bytes, 6 * MIB);
    cr_assert_eq(gap.address, BASE + 8 * MIB, "behind the larger one");
    cr_assert_eq(range_gap_find(&range, 40 * MIB, false, NULL, NULL, &gap), -ENOSPC);
}

/* ---- placement by page ---- */

Test(range, by_page_a_large_block_takes_no_more_pages_than_its_size_needs, .init = setup)
{
    range_change(BASE, 12 * MIB, EXTENT_FREE);
    range_by_page_set(&range, true);
    cr_assert_eq(take(3 * MIB), 0);
    cr_assert_eq(take(5 * MIB), 3 * MIB, "its last MiB fits beside the first block");
    cr_assert_eq(take(2 * MIB), 8 * MIB);
    give(3 * MIB);
    cr_assert_eq(take(3 * MIB + MIB / 2), 4 * MIB, "it would touch three pages at 3 MiB");
    cr_assert_eq(take(2 * MIB + MIB / 4), UINT64_MAX, "two pages are free, but not side by side");
}

Test(range, by_page_small_blocks_lie_in_pages_of_their_own, .init = setup)
{
    range_change(BASE, 8 * MIB, EXTENT_FREE);
    range_by_page_set(&range, true);
    cr_assert_eq(take(3 * MIB), 0);
    cr_assert_eq(take(512), 4 * MIB, "not beside the large block");
    cr_assert_eq(take(MIB / 2), 4 * MIB + 512);
    give(0);
    cr_assert_eq(take(4 * MIB), 0, "nothing lies in its pages");
}

Test(range, by_page_small_blocks_fill_what_a_large_one_has_left_to_them, .init = setup)
{
    range_change(BASE, 8 * MIB, EXTENT_FREE);
    uint64_t large = take(3 * MIB), beside = take(MIB / 2);
    cr_assert_eq(beside, 3 * MIB);
    range_by_page_set(&range, true);
    cr_assert_eq(take(512), 4 * MIB, "the page is a large block's");
    give(4 * MIB);
    give(large);
    cr_assert_eq(take(512), 3 * MIB - 512, "only a small block lies in the page now");
    cr_assert_eq(take(2 * MIB), 0);
}

Test(range, by_page_begins_with_the_pages_that_hold_small_blocks, .init = setup)
{
    range_change(BASE, 8 * MIB, EXTENT_FREE);
    uint64_t first = take(MIB), second = take(MIB / 2);
    cr_assert_eq(take(3 * MIB), 3 * MIB / 2);
    give(second);
    range_by_page_set(&range, true);
    cr_assert_eq(take(MIB / 2), 6 * MIB, "a large block begins in the first page");
    give(6 * MIB);
    give(3 * MIB / 2);
    cr_assert_eq(take(MIB / 2), MIB);
    give(first);
    range_by_page_set(&range, false);
    cr_assert_eq(take(MIB), 0, "the free memory of small pages is any block's again");
}

Test(range, by_page_any_place_serves_in_the_end, .init = setup)
{
    range_change(BASE, 6 * MIB, EXTENT_FREE);
    range_by_page_set(&range, true);
    uint64_t first = take(3 * MIB), second = take(2 * MIB);
    cr_assert_eq(first, 0);
    cr_assert_eq(second, 4 * MIB);
    cr_assert_eq(take(512), UINT64_MAX, "no page is free");
    cr_assert_eq(range_take_anywhere(&range, 512)->node.address, BASE + 3 * MIB);
    cr_assert_null(range_check(&range));
}

Test(range, the_gap_by_page_leaves_the_block_in_as_few_pages, .init = setup)
{
    struct range_gap gap;

    range_change(BASE, 4 * MIB, EXTENT_FREE);
    cr_assert_eq(take(MIB), 0); /* then 3 MiB free and a hole */
    cr_assert_eq(range_gap_find(&range, 5 * MIB, false, NULL, NULL, &gap), 0);
    cr_assert_eq(gap.bytes, 2 * MIB);
    cr_assert_eq(gap.block, BASE + MIB);
    cr_assert_eq(range_gap_find(&range, 5 * MIB + MIB / 2, true, NULL, NULL, &gap), 0);
    cr_assert_eq(gap.bytes, 4 * MIB, "it begins at 2 MiB");
    cr_assert_eq(gap.block, BASE + 2 * MIB);
    cr_assert_eq(range_gap_find(&range, 5 * MIB, true, NULL, NULL, &gap), 0);
    cr_assert_eq(gap.block, BASE + MIB, "it shares a page where that saves one");
}

#define MANY_PAGES 256u

/* Twenty free extents of 3 MiB, each with one whole page and a part on either side: by page, no
 * block of this size fits. */
static void many_misfits(void)
{
    range_done(&range);
    cr_assert_eq(
        range_init(&range, BASE, MANY_PAGES * RANGE_PAGE_BYTES, sizeof(struct extent), &account),
        0);
    range_change(BASE, 120 * MIB, EXTENT_FREE);
    for (uint64_t index = 0; index < 20; index++) {
        range_claim(&range, BASE + 6 * index * MIB, 3 * MIB / 2, EXTENT_LIVE);
        range_claim(&range, BASE + 6 * index * MIB + 9 * MIB / 2, 3 * MIB / 2, EXTENT_LIVE);
    }
}

Test(range, by_page_a_search_in_vain_ends_where_the_block_certainly_fits, .init = setup)
{
    many_misfits();
    range_change(BASE + 200 * MIB, 8 * MIB, EXTENT_FREE);
    range_by_page_set(&range, true);
    cr_assert_eq(take(3 * MIB), 200 * MIB);
    cr_assert_eq(take(3 * MIB), 203 * MIB);
    cr_assert_eq(take(3 * MIB), UINT64_MAX);
}

/* A short search misses the extents beside the hole, which would do. */
Test(range, by_page_a_gap_needs_memory, .init = setup)
{
    struct range_gap gap;

    many_misfits();
    range_claim(&range, BASE + 120 * MIB, 82 * MIB, EXTENT_LIVE);
    range_change(BASE + 202 * MIB, 4 * MIB, EXTENT_FREE);
    range_claim(&range, BASE + 202 * MIB, MIB, EXTENT_LIVE);
    range_change(BASE + 300 * MIB, 4 * MIB, EXTENT_FREE);
    range_claim(&range, BASE + 303 * MIB, MIB, EXTENT_LIVE);
    range_claim(&range, BASE + 304 * MIB, MANY_PAGES * RANGE_PAGE_BYTES - 304 * MIB, EXTENT_LIVE);
    range_by_page_set(&range, true);
    cr_assert_eq(range_gap_find(&range, 3 * MIB, true, NULL, NULL, &gap), 0);
    cr_assert_eq(gap.bytes, 4 * MIB);
    cr_assert_eq(gap.block, BASE + 206 * MIB);
}

/* ---- random operations against a map ---- */

#define GRAINS (PAGES * RANGE_PAGE_BYTES / RANGE_GRAIN_BYTES)

static unsigned char use_of[GRAINS]; /* enum extent_use */

static void map_set(uint64_t address, uint64_t bytes, enum extent_use from, enum extent_use to)
{
    for (uint64_t grain = (address - BASE) / RANGE_GRAIN_BYTES,
                  end = grain + bytes / RANGE_GRAIN_BYTES;
         grain < end; grain++) {
        cr_assert_eq(use_of[grain], from);
        use_of[grain] = (unsigned char)to;
    }
}

static bool page_is(unsigned page, enum extent_use use)
{
    for (uint64_t grain = 0; grain < RANGE_PAGE_BYTES / RANGE_GRAIN_BYTES; grain++)
        if (use_of[page * (RANGE_PAGE_BYTES / RANGE_GRAIN_BYTES) + grain] != use)
            return false;
    return true;
}

static void map_compare(void)
{
    for (const struct extent *extent = range.first; extent; extent = extent->after)
        map_set(extent->node.address, extent->node.bytes, extent->use, extent->use);
}

static uint64_t pages_touched(const struct extent *extent)
{
    return (extent_end(extent) - 1) / RANGE_PAGE_BYTES - extent->node.address / RANGE_PAGE_BYTES +
           1;
}

/* `by_page`: placement changes now and then. */
static void random_operations(bool by_page)
{
    struct extent *live[400];
    unsigned count = 0, most = by_page ? 40 : 400, large = 0;

    srandom(20261129);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned page = (unsigned)random() % PAGES;
        uint64_t address = BASE + page * RANGE_PAGE_BYTES;

        switch (random() % 5) {
        case 0:
            if (page_is(page, EXTENT_HOLE)) {
                cr_assert_eq(range_change(address, RANGE_PAGE_BYTES, EXTENT_FREE), 0);
                map_set(address, RANGE_PAGE_BYTES, EXTENT_HOLE, EXTENT_FREE);
            }
            break;
        case 1:
            if (page_is(page, EXTENT_FREE)) {
                cr_assert_eq(range_change(address, RANGE_PAGE_BYTES, EXTENT_HOLE), 0);
                map_set(address, RANGE_PAGE_BYTES, EXTENT_FREE, EXTENT_HOLE);
            }
            break;
        case 2:
        case 3: {
            uint64_t bytes = (uint64_t)(1 + random() % (random() % 4 ? 300 : 9000)) * 512;
            struct extent *extent = count < most ? range_take(&range, bytes) : NULL;

            if (extent) {
                cr_assert_eq(extent->node.bytes, bytes);
                if (range.by_page && bytes >= RANGE_PAGE_BYTES) {
                    cr_assert_eq(pages_touched(extent), (bytes - 1) / RANGE_PAGE_BYTES + 1);
                    large++;
                }
                map_set(extent->node.address, bytes, EXTENT_FREE, EXTENT_LIVE);
                live[count++] = extent;
            }
            break;
        }
        default:
            if (count) {
                unsigned which = (unsigned)random() % count;

                map_set(live[which]->node.address, live[which]->node.bytes, EXTENT_LIVE,
                        EXTENT_FREE);
                cr_assert_eq(range_find(&range, live[which]->node.address + 511), live[which]);
                range_give(&range, live[which]);
                live[which] = live[--count];
            }
        }
        cr_assert_null(range_check(&range), "step %u: %s", step, range_check(&range));
        if (step % 500 == 0)
            map_compare();
        if (by_page && step % 3000 == 1000)
            range_by_page_set(&range, true);
        if (by_page && step % 3000 == 0)
            range_by_page_set(&range, false);
    }
    cr_assert_eq(large > 50, by_page, "%u large blocks were placed by page", large);
}

Test(range, random_operations_agree_with_a_map, .init = setup)
{
    random_operations(false);
}

Test(range, random_operations_by_page_agree_with_a_map, .init = setup)
{
    random_operations(true);
}
