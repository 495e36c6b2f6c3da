/* SPDX-License-Identifier: MIT */
/*
 * The page map by itself: what an insertion finds occupied, wherever in its range, is left alone,
 * and nothing of the rest is written.
 */
#include "tests/unit/harness.h"

#include <errno.h>

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
