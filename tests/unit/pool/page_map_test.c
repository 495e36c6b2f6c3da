/* SPDX-License-Identifier: MIT */
/*
 * The page map by itself: what an insertion finds occupied, wherever in its range, is left alone,
 * and nothing of the rest is written.
 */
#include "tests/unit/harness.h"

#include <errno.h>
#include <inttypes.h>

#include "pool/base/page_map.h"

#define BASE  (UINT64_C(1) << 40)
#define PAGE  (UINT64_C(1) << PAGE_MAP_PAGE_BITS)
#define PAGES 6u

static void pages_expect(uint64_t first, const page_entry expected[PAGES])
{
    for (unsigned page = 0; page < PAGES; page++)
        cr_assert_eq(page_map_get(first + page * PAGE), expected[page], "page %u", page);
}

Test(page_map, every_page_of_a_range_has_its_owner)
{
    cr_assert_eq(page_map_insert(BASE + PAGE, 4 * PAGE, 16), 0);
    pages_expect(BASE, (const page_entry[]){0, 16, 16, 16, 16, 0});
    page_map_replace(BASE + 2 * PAGE, 2 * PAGE, 32);
    pages_expect(BASE, (const page_entry[]){0, 16, 32, 32, 16, 0});
}

Test(page_map, an_occupied_page_refuses_the_whole_range)
{
    for (unsigned occupied = 0; occupied < PAGES; occupied++) {
        page_entry expected[PAGES] = {0};

        expected[occupied] = 16;
        cr_assert_eq(page_map_insert(BASE + occupied * PAGE, PAGE, 16), 0);
        cr_assert_eq(page_map_insert(BASE, PAGES * PAGE, 32), -EEXIST, "page %u", occupied);
        pages_expect(BASE, expected);
        page_map_replace(BASE + occupied * PAGE, PAGE, 0);
    }
    cr_assert_eq(page_map_insert(BASE, PAGES * PAGE, 32), 0);
}

/* The second leaf does not exist before. */
Test(page_map, a_range_may_lie_in_two_leaves)
{
    uint64_t end = BASE + PAGE_MAP_LEAF_COUNT * PAGE;

    cr_assert_eq(page_map_insert(end - 3 * PAGE, PAGES * PAGE, 16), 0);
    pages_expect(end - 3 * PAGE, (const page_entry[]){16, 16, 16, 16, 16, 16});
    cr_assert_eq(page_map_insert(end, PAGE, 32), -EEXIST);
}

/* ---- whole ranges ---- */

#define LEAF   (PAGE_MAP_LEAF_COUNT * PAGE)
#define WHOLE  (BASE + 64 * LEAF)
#define LEAVES 6u
#define FIRST  (WHOLE + LEAF / 2)
#define BYTES  (LEAVES * LEAF)
#define HALVES (2 * LEAVES + 2)

/* Every page from half a leaf before the range to half a leaf behind it. */
static void halves_expect(const page_entry expected[HALVES])
{
    for (uint64_t page = 0; page < HALVES * PAGE_MAP_LEAF_COUNT / 2; page++)
        cr_assert_eq(page_map_get(WHOLE + page * PAGE), expected[2 * page / PAGE_MAP_LEAF_COUNT],
                     "page %" PRIu64, page);
}

static const page_entry nothing[HALVES];
static const page_entry all_16[HALVES] = {0, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 0};

Test(page_map, a_whole_range_comes_goes_and_returns)
{
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(page_map_insert_whole(FIRST, BYTES, 16), 0);
        halves_expect(all_16);
        page_map_replace(FIRST, BYTES, 0);
        halves_expect(nothing);
        page_map_replace(FIRST, BYTES, 16);
        halves_expect(all_16);
        page_map_replace(FIRST, BYTES, 0);
    }
}

Test(page_map, a_whole_range_refuses_others_anywhere)
{
    cr_assert_eq(page_map_insert_whole(FIRST, BYTES, 16), 0);
    for (uint64_t half = 0; half < 2 * LEAVES; half++) {
        cr_assert_eq(page_map_insert(FIRST + half * LEAF / 2, PAGE, 32), -EEXIST);
        cr_assert_eq(page_map_insert_whole(FIRST + half * LEAF / 2, BYTES, 32), -EEXIST);
    }
    halves_expect(all_16);
}

Test(page_map, occupied_pages_refuse_a_whole_range)
{
    for (uint64_t half = 0; half < 2 * LEAVES; half++) {
        page_entry expected[HALVES] = {0};
        uint64_t at = FIRST + half * LEAF / 2;

        expected[half + 1] = 32;
        cr_assert_eq(page_map_insert(at, LEAF / 2, 32), 0);
        cr_assert_eq(page_map_insert_whole(FIRST, BYTES, 16), -EEXIST);
        halves_expect(expected);
        page_map_replace(at, LEAF / 2, 0);
    }
    cr_assert_eq(page_map_insert_whole(FIRST, BYTES, 16), 0);
    halves_expect(all_16);
}

/* Where a whole range was, others come and go, which are replaced in parts; and it returns. */
Test(page_map, what_a_whole_range_leaves_is_free_in_parts)
{
    page_entry expected[HALVES] = {0, 0, 0, 0, 48, 32, 32, 48, 48, 48, 48, 48, 48, 48};

    cr_assert_eq(page_map_insert_whole(FIRST, BYTES, 16), 0);
    page_map_replace(FIRST, BYTES, 0);
    cr_assert_eq(page_map_insert_whole(FIRST + 3 * LEAF / 2, BYTES - LEAF, 48), 0);
    page_map_replace(FIRST + 3 * LEAF / 2, BYTES - LEAF, 0);
    cr_assert_eq(page_map_insert(FIRST + 3 * LEAF / 2, 3 * LEAF / 2, 32), 0);
    page_map_replace(FIRST + 3 * LEAF / 2, LEAF / 2, 48);
    cr_assert_eq(page_map_insert_whole(FIRST + 3 * LEAF, BYTES - 5 * LEAF / 2, 48), 0);
    halves_expect(expected);
    page_map_replace(FIRST + 3 * LEAF, BYTES - 5 * LEAF / 2, 0);
    page_map_replace(FIRST + 3 * LEAF / 2, 3 * LEAF / 2, 0);
    cr_assert_eq(page_map_insert_whole(FIRST, BYTES, 16), 0);
    halves_expect(all_16);
}

/* Two whole ranges at different places, one after the other, have leaves of their own. */
Test(page_map, whole_ranges_share_nothing_with_each_other)
{
    for (unsigned round = 0; round < 4; round++)
        for (unsigned which = 0; which < 2; which++) {
            uint64_t at = BASE + which * 16 * LEAF, other = BASE + !which * 16 * LEAF;
            page_entry entry = 16 + 16 * which;

            cr_assert_eq(page_map_insert_whole(at, 8 * LEAF, entry), 0);
            for (uint64_t leaf = 0; leaf < 8; leaf++) {
                cr_assert_eq(page_map_get(at + leaf * LEAF), entry);
                cr_assert_eq(page_map_get(other + leaf * LEAF), round + which > 0 ? 48 - entry : 0);
            }
            page_map_replace(other, round + which > 0 ? 8 * LEAF : 0, 0);
        }
}

/* Others have taken some of the places of a range that is gone: its leaf is still at the rest. */
Test(page_map, a_leaf_with_places_serves_no_other_range)
{
    cr_assert_eq(page_map_insert_whole(FIRST, BYTES, 16), 0);
    page_map_replace(FIRST, BYTES, 0);
    for (uint64_t taken = 0; taken + 2 < LEAVES; taken++) {
        cr_assert_eq(page_map_insert(FIRST + LEAF / 2 + taken * LEAF, PAGE, 32), 0);
        cr_assert_eq(page_map_insert_whole(BASE + taken * 8 * LEAF, 8 * LEAF, 48), 0);
        for (uint64_t leaf = taken + 1; leaf < LEAVES; leaf++)
            cr_assert_eq(page_map_get(FIRST + LEAF / 2 + leaf * LEAF), 0);
    }
}

Test(page_map, the_largest_range_of_all)
{
    uint64_t all = UINT64_C(1) << PAGE_MAP_ADDRESS_BITS;

    cr_assert_eq(page_map_insert_whole(PAGE, all - PAGE, 16), 0);
    cr_assert_eq(page_map_get(0), 0);
    for (uint64_t address = PAGE; address < all; address += LEAF)
        cr_assert_eq(page_map_get(address), 16);
    cr_assert_eq(page_map_get(all - 1), 16);
    cr_assert_eq(page_map_get(all), 0);
    page_map_replace(PAGE, all - PAGE, 0);
    cr_assert_eq(page_map_get(all - 1), 0);
    cr_assert_eq(page_map_insert_whole(PAGE, all, 16), -ERANGE);
}
