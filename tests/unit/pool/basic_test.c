/* SPDX-License-Identifier: MIT */
/*
 * One pool, one thread: handing out, finding, taking back, refusing, describing.
 */
#include "tests/unit/harness.h"
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/pool/fixture.h"

Test(basic, a_block_is_described_as_it_was_asked_for, .init = setup, .fini = teardown)
{
    static const size_t sizes[] = {1,
                                   511,
                                   512,
                                   513,
                                   4096,
                                   32768,
                                   32769,
                                   70000,
                                   1u << 20,
                                   (1u << 20) + 1,
                                   2 << 20,
                                   3000000,
                                   (size_t)64 << 20,
                                   ((size_t)64 << 20) + 1};

    for (size_t index = 0; index < sizeof(sizes) / sizeof(*sizes); index++) {
        struct pool_block block, found;
        struct pool *owner = NULL;

        cr_assert_eq(pool_allocate(pool, sizes[index], 0x1000 + index, &block), 0);
        cr_assert(block.live);
        cr_assert_eq(block.address % 512, 0);
        cr_assert_eq(block.requested_bytes, sizes[index]);
        cr_assert_geq(block.allocated_bytes, sizes[index]);
        cr_assert_eq(block.allocation_site, 0x1000 + index);
        cr_assert_geq(block.address, block.segment_address);
        cr_assert_leq(block.address + block.allocated_bytes,
                      block.segment_address + block.segment_bytes);

        cr_assert_eq(pool_find(block.address + sizes[index] - 1, &found, &owner), 0);
        cr_assert_eq(owner, pool);
        cr_assert_eq(found.address, block.address);
        cr_assert_eq(found.requested_bytes, sizes[index]);
        cr_assert(found.live);

        cr_assert_eq(pool_free(block.address, 0x2000 + index, &found), 0);
        cr_assert_eq(found.address, block.address);
        cr_assert_eq(found.allocated_bytes, block.allocated_bytes);
        cr_assert_eq(found.free_site, 0x2000 + index);
        cr_assert_not(found.live);

        cr_assert_eq(pool_free(block.address, 0x3000, &found), -EALREADY);
        cr_assert_eq(found.requested_bytes, sizes[index]);
        cr_assert_eq(found.allocation_site, 0x1000 + index);
        cr_assert_eq(found.free_site, 0x2000 + index);
        cr_assert_not(found.live);
        check_pool();
    }
}

Test(basic, small_and_middle_blocks_waste_little, .init = setup, .fini = teardown)
{
    for (size_t bytes = 4096; bytes <= 32768; bytes += 97) {
        struct pool_block block;

        cr_assert_eq(pool_allocate(pool, bytes, 0, &block), 0);
        cr_assert_leq(8 * (block.allocated_bytes - bytes), bytes, "%zu takes %zu", bytes,
                      block.allocated_bytes);
    }
    for (size_t bytes = 32769; bytes <= 1u << 20; bytes += 4093) {
        struct pool_block block;

        cr_assert_eq(pool_allocate(pool, bytes, 0, &block), 0);
        cr_assert_lt(block.allocated_bytes - bytes, 4096);
    }
    check_pool();
}

Test(basic, a_large_block_is_a_driver_allocation_of_its_own, .init = setup, .fini = teardown)
{
    struct pool_block block;

    cr_assert_eq(pool_allocate(pool, (5u << 20) + 3, 0, &block), 0);
    cr_assert_eq(block.segment_address, block.address);
    cr_assert_eq(block.segment_bytes, IS_MAPPED ? (5u << 20) + 512 : 6u << 20);
    cr_assert_eq(block.outcome, POOL_OUTCOME_MISS);
}

Test(basic, refused_requests_change_nothing, .init = setup, .fini = teardown)
{
    struct pool_block block = {.address = 42};
    uint64_t calls = fake.calls_total;

    cr_assert_eq(pool_allocate(pool, 0, 0, &block), -EINVAL);
    cr_assert_eq(pool_allocate(pool, SIZE_MAX, 0, &block), -ENOMEM);
    cr_assert_eq(pool_allocate(pool, SIZE_MAX / 2, 0, &block), -ENOMEM);
    cr_assert_eq(block.address, 42);
    cr_assert_eq(fake.calls_total, calls);
}

static void refuse_bad_frees(size_t bytes)
{
    struct pool_block block, freed;

    cr_assert_eq(pool_allocate(pool, bytes, 11, &block), 0);
    cr_assert_eq(pool_free(block.address + 1, 12, NULL), -EINVAL);
    cr_assert_eq(pool_free(block.address + bytes - 1, 12, NULL), -EINVAL);
    cr_assert_eq(pool_free(block.address, 13, NULL), 0);
    cr_assert_eq(pool_free(block.address, 14, &freed), -EALREADY);
    cr_assert_eq(freed.allocation_site, 11);
    cr_assert_eq(freed.free_site, 13, "the site of the first free is kept");
    cr_assert_not(freed.live);
    check_pool();
}

Test(basic, bad_frees_are_refused_and_counted, .init = setup, .fini = teardown)
{
    refuse_bad_frees(700);
    refuse_bad_frees(100000);
    refuse_bad_frees(5000000);
    cr_assert_eq(pool_free(0, 0, NULL), -ENOENT);
    cr_assert_eq(pool_free(0x1234, 0, NULL), -ENOENT);
    cr_assert_eq(pool_free(UINT64_MAX, 0, NULL), -ENOENT);
    cr_assert_eq(statistics().invalid_frees, 9);
    cr_assert_eq(statistics().frees, 3);
}

Test(basic, memory_without_a_block_is_not_found, .init = setup, .fini = teardown)
{
    struct pool_block block;

    cr_assert_eq(pool_allocate(pool, 600, 0, &block), 0);
    cr_assert_eq(pool_find(block.address + block.allocated_bytes, NULL, NULL), -ENOENT);
    cr_assert_eq(pool_find(block.segment_address + block.segment_bytes - 1, NULL, NULL), -ENOENT);
    cr_assert_eq(pool_find(block.segment_address - 1, NULL, NULL), -ENOENT);
    cr_assert_not_null(pool_at(block.segment_address + block.segment_bytes - 1));
    cr_assert_null(pool_at(block.segment_address - 1));
}

Test(basic, steady_work_makes_no_driver_call, .init = setup, .fini = teardown)
{
    fake.complete_at_once = true;
    uint64_t before = 0;
    for (int round = 0; round < 2000; round++) {
        struct pool_block blocks[8];
        static const size_t sizes[8] = {512, 3000, 20000, 32768, 40000, 200000, 900000, 2u << 20};

        for (int index = 0; index < 8; index++)
            cr_assert_eq(pool_allocate(pool, sizes[index], 0, &blocks[index]), 0);
        for (int index = 0; index < 8; index++)
            cr_assert_eq(pool_free(blocks[index].address, 0, NULL), 0);
        if (round == 100)
            before = fake.calls[FAKE_SEGMENT_ALLOCATE] + fake.calls[FAKE_SEGMENT_FREE];
    }
    cr_assert_eq(fake.calls[FAKE_SEGMENT_ALLOCATE] + fake.calls[FAKE_SEGMENT_FREE], before);
    cr_assert_leq(fake.peak_bytes, 24u << 20);
    check_pool();
}

Test(basic, statistics_add_up, .init = setup, .fini = teardown)
{
    struct pool_block small, middle, large;
    uint64_t large_bytes = IS_MAPPED ? 3u << 20 : 4u << 20;

    cr_assert_eq(pool_allocate(pool, 1000, 0, &small), 0);
    cr_assert_eq(pool_allocate(pool, 50000, 0, &middle), 0);
    cr_assert_eq(pool_allocate(pool, 3u << 20, 0, &large), 0);
    struct pool_statistics s = statistics();
    cr_assert_eq(s.live_requested_bytes.current, 1000 + 50000 + (3u << 20));
    cr_assert_eq(s.live_allocated_bytes.current, 1024 + (IS_MAPPED ? 50176 : 53248) + large_bytes);
    cr_assert_eq(s.live_blocks.current, 3);
    cr_assert_eq(s.reserved_bytes.current, 6u << 20);
    cr_assert_eq(s.allocations, 3);
    cr_assert_eq(s.hits + s.misses + s.waits, 3);
    cr_assert_eq(s.misses, IS_MAPPED ? 3 : 2);
    cr_assert_eq(s.segment_allocations, IS_MAPPED ? 3 : 2);

    cr_assert_eq(pool_free(large.address, 0, NULL), 0);
    s = statistics();
    cr_assert_eq(s.quarantined_bytes.current, large_bytes);
    cr_assert_eq(s.live_requested_bytes.current, 51000);
    cr_assert_eq(s.live_requested_bytes.peak, 51000 + (3u << 20));
    cr_assert_eq(s.live_requested_bytes.at_peak, 51000 + (3u << 20));
    cr_assert_eq(s.live_blocks.at_peak, 3);
    cr_assert_eq(s.reserved_bytes.at_peak, 6u << 20);
    cr_assert_eq(pool_available_bytes(pool), s.cached_bytes.current + s.quarantined_bytes.current);
    cr_assert_geq(s.metadata_bytes, 1);
}

/* Frees look up their blocks some frees later; this must not be visible. */
Test(basic, current_and_peak_are_exact_at_every_moment, .init = setup, .fini = teardown)
{
    enum { SLOTS = 60 };
    static struct {
        uint64_t address;
        size_t bytes;
    } slots[SLOTS];
    uint64_t live = 0, peak = 0;
    fake.complete_at_once = true;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned slot = (unsigned)rand() % SLOTS;

        if (slots[slot].address != 0) {
            give(slots[slot].address);
            live -= slots[slot].bytes;
            slots[slot].address = 0;
        } else {
            /* Rising, so that the peak is raised again and again, right after frees. */
            slots[slot].bytes = 1 + (unsigned)rand() % 2000 + step;
            slots[slot].address = take(slots[slot].bytes);
            live += slots[slot].bytes;
            peak = live > peak ? live : peak;
        }
        if (rand() % 16 != 0)
            continue;
        cr_assert_eq(statistics().live_requested_bytes.current, live, "in step %u", step);
        cr_assert_eq(statistics().live_requested_bytes.peak, peak, "in step %u", step);
    }
}

/* A block that is handed out again must have been looked up before, whatever came in between. */
Test(basic, reused_blocks_count_what_they_were_when_freed, .init = setup, .fini = teardown)
{
    uint64_t blocks[20];

    fake.complete_at_once = true;
    for (int index = 0; index < 20; index++)
        blocks[index] = take(1000);
    for (int index = 0; index < 20; index++)
        give(blocks[index]);
    size_t returned;
    cr_assert_eq(pool_trim(pool, SIZE_MAX, &returned), 0);
    for (int index = 0; index < 20; index++)
        take(600);
    cr_assert_eq(statistics().live_requested_bytes.current, 20 * 600);
}

/* A free notes its site some frees later; whoever asks before sees it all the same. */
Test(basic, the_site_of_every_free_is_known_at_once, .init = setup, .fini = teardown)
{
    enum { COUNT = 30 };
    uint64_t blocks[COUNT];
    struct pool_block found;
    for (uint32_t index = 0; index < COUNT; index++)
        blocks[index] = take(1000);
    for (uint32_t index = 0; index < COUNT; index++) {
        cr_assert_eq(pool_free(blocks[index], 100 + index, NULL), 0);
        cr_assert_eq(pool_find(blocks[index], &found, NULL), 0);
        cr_assert_eq(found.free_site, 100 + index);
        if (index % 7 != 6)
            continue;
        cr_assert_eq(pool_free(blocks[index - 1], 99, &found), -EALREADY);
        cr_assert_eq(found.free_site, 99 + index);
    }
    for (uint32_t index = 0; index < COUNT; index++) {
        cr_assert_eq(pool_free(blocks[index], 99, &found), -EALREADY);
        cr_assert_eq(found.free_site, 100 + index, "block %u", index);
    }
    cr_assert_eq(statistics().live_requested_bytes.current, 0);
}

Test(basic, sites_are_known_from_the_first_one_given, .init = setup, .fini = teardown)
{
    struct pool_block described;
    uint64_t before = take(700), after = take(700);

    give(before);
    cr_assert_eq(pool_free(before, 0, &described), -EALREADY);
    cr_assert_eq(described.allocation_site, 0);
    cr_assert_eq(described.free_site, 0);
    cr_assert_eq(pool_free(after, 5, NULL), 0);
    cr_assert_eq(pool_free(after, 6, &described), -EALREADY);
    cr_assert_eq(described.allocation_site, 0);
    cr_assert_eq(described.free_site, 5);
    cr_assert_eq(pool_free(before, 6, &described), -EALREADY);
    cr_assert_eq(described.free_site, 0);
}

Test(basic, all_is_available_when_all_is_freed, .init = setup, .fini = teardown)
{
    struct pool_statistics statistics;
    struct pool_block blocks[100];

    for (size_t index = 0; index < 100; index++)
        cr_assert_eq(pool_allocate(pool, 3000 + 41 * index, 0, &blocks[index]), 0);
    pool_statistics_get(pool, &statistics);
    cr_assert_leq(pool_available_bytes(pool),
                  statistics.reserved_bytes.current - statistics.live_allocated_bytes.current);
    for (size_t index = 0; index < 100; index++)
        cr_assert_eq(pool_free(blocks[index].address, 0, NULL), 0);
    pool_statistics_get(pool, &statistics);
    cr_assert_eq(pool_available_bytes(pool), statistics.reserved_bytes.current);
}

Test(basic, destruction_returns_everything_and_forgets_addresses, .init = setup)
{
    struct pool_block blocks[3];

    cr_assert_eq(pool_allocate(pool, 1000, 0, &blocks[0]), 0);
    cr_assert_eq(pool_allocate(pool, 50000, 0, &blocks[1]), 0);
    cr_assert_eq(pool_allocate(pool, 3u << 20, 0, &blocks[2]), 0);
    pool_destroy(pool, POOL_END_RETURN);
    cr_assert_eq(fake_segments_live(&fake), 0);
    for (int index = 0; index < 3; index++)
        cr_assert_eq(pool_free(blocks[index].address, 0, NULL), -ENOENT);
    cr_assert_eq(fake.errors, 0);
}

Test(basic, abandoning_gives_back_fences_alone, .init = setup)
{
    struct pool_block block;

    cr_assert_eq(pool_allocate(pool, 16u << 20, 0, &block), 0);
    cr_assert_eq(pool_free(block.address, 0, NULL), 0);
    cr_assert_eq(fake.fences_live, 1);
    uint64_t calls = fake.calls_total;
    pool_destroy(pool, POOL_END_ABANDON);
    cr_assert_eq(fake.calls_total, calls);
    cr_assert_eq(fake.fences_live, 0, "a fence may be that of other contexts, too");
    cr_assert_eq(pool_free(block.address, 0, NULL), -ENOENT);
    pool_destroy(NULL, POOL_END_RETURN);
}

static void bad_waste(struct pool_config *config)
{
    config->large_waste_percent = 101;
}

static void bad_limit(struct pool_config *config)
{
    config->limit_bytes = 4096;
}

Test(basic, bad_configurations_are_refused, .init = setup, .fini = teardown)
{
    cr_assert_null(fake_pool(&fake, bad_waste));
    cr_assert_null(fake_pool(&fake, bad_limit));
}
