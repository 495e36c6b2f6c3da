/* SPDX-License-Identifier: MIT */
/*
 * Work that does not end: a persistent kernel, a host function that needs a lock. No allocation
 * waits for it that the driver could serve, or that what was freed before it could; the fake counts
 * as a hang whatever would wait for it without a bound.
 */
#include "tests/unit/harness.h"
#include <errno.h>

#include "tests/unit/pool/fixture.h"

#define MIB    ((size_t)1 << 20)
#define BLOCKS 64

static uint64_t waits(void)
{
    return fake.calls[FAKE_FENCE_WAIT] + fake.calls[FAKE_DEVICE_WAIT];
}

static void take_many(uint64_t *blocks, size_t bytes)
{
    for (int index = 0; index < BLOCKS; index++)
        blocks[index] = take(bytes);
}

static void give_many(const uint64_t *blocks)
{
    for (int index = 0; index < BLOCKS; index++)
        give(blocks[index]);
}

static const size_t sizes[] = {600, 30000, 100 << 10, 1 * MIB, 3 * MIB, 20 * MIB};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void small_quarantine(struct pool_config *config)
{
    config->quarantine_max = 64 << 10;
}

static void nobody_waits(void (*change)(struct pool_config *config))
{
    for (size_t index = 0; index < SIZES; index++) {
        uint64_t blocks[BLOCKS];

        setup_with(change);
        take_many(blocks, sizes[index]);
        give_many(blocks);
        fake_hold(&fake);
        for (int round = 0; round < 3; round++)
            take_many(blocks, sizes[index]);
        give_many(blocks);
        take_many(blocks, sizes[index]);
        cr_assert_eq(waits(), 0, "size %zu", sizes[index]);
        cr_assert_eq(fake.hangs, 0, "size %zu", sizes[index]);
        teardown();
    }
}

Test(waiting, nobody_waits_while_the_driver_gives)
{
    nobody_waits(NULL);
}

Test(waiting, a_bound_of_the_quarantine_is_no_reason_to_wait)
{
    nobody_waits(small_quarantine);
}

static uint64_t limit_bytes;

static void limited(struct pool_config *config)
{
    config->limit_bytes = limit_bytes;
}

/* How many blocks of a size fit, filled up to the refusal. */
static size_t fill(uint64_t *blocks, size_t most, size_t bytes)
{
    struct pool_block block;
    size_t count = 0;

    while (count < most && pool_allocate(pool, bytes, 0, &block) == 0)
        blocks[count++] = block.address;
    return count;
}

/* Whatever was freed before the work began comes back, though the device is full. */
Test(waiting, all_that_was_freed_before_comes_back)
{
    static uint64_t blocks[100000];

    limit_bytes = 64 * MIB;
    for (size_t index = 0; index < SIZES; index++) {
        setup_with(limited);
        size_t first = fill(blocks, 100000, sizes[index]);
        for (size_t block = 0; block < first; block++)
            give(blocks[block]);
        fake_complete(&fake);
        fake_hold(&fake);
        size_t second = fill(blocks, first, sizes[index]);
        /* Small blocks are looked at by the chunk, and 32 KiB of them are worth no fence. */
        size_t missed = sizes[index] <= 32768 ? 2 * 30 + 32768 / sizes[index] : 0;
        cr_assert_geq(second + missed, first, "size %zu: %zu of %zu", sizes[index], second, first);
        cr_assert_eq(fake.hangs, 0);
        cr_assert_leq(waits(), 2, "size %zu: %llu waits", sizes[index],
                      (unsigned long long)waits());
        fake_release(&fake);
        teardown();
    }
}

/* A driver that has never refused, and cannot give much more. */
Test(waiting, a_part_that_was_freed_before_comes_back_on_a_full_device)
{
    uint64_t blocks[BLOCKS];

    limit_bytes = BLOCKS * MIB;
    setup_with(limited);
    take_many(blocks, MIB);
    for (int index = 0; index < 19; index++)
        give(blocks[index * 3]);
    fake_complete(&fake);
    fake_hold(&fake);
    for (int index = 0; index < 19; index++)
        take(MIB);
    cr_assert_eq(waits(), 0);
    fake_release(&fake);
    teardown();
}

/* Memory freed before the work serves at once; memory freed after it is waited for last. */
Test(waiting, frees_before_serve_frees_after_are_owed)
{
    struct pool_block block;
    uint64_t before[16], after[16];

    limit_bytes = 64 * MIB;
    setup_with(limited);
    for (int index = 0; index < 16; index++) {
        before[index] = take(2 * MIB);
        after[index] = take(2 * MIB);
    }
    for (int index = 0; index < 16; index++)
        give(before[index]);
    fake_complete(&fake);
    fake_hold(&fake);
    for (int index = 0; index < 16; index++)
        give(after[index]);
    for (int index = 0; index < 16; index++)
        take(2 * MIB);
    cr_assert_eq(waits(), 0);
    cr_assert_eq(fake.hangs, 0);
    cr_assert_eq(pool_allocate(pool, 2 * MIB, 0, &block), -ENOMEM);
    cr_assert_gt(fake.hangs, 0, "the driver's own free would have waited for these");
    fake_release(&fake);
    teardown();
}

/* Like hardware, an idle device signals a fence a moment after it was recorded. Memory must be
 * returned all the same, so that another size can be allocated when the device is busy. */
Test(waiting, an_idle_device_may_say_so_a_moment_later)
{
    struct pool_block block;
    uint64_t blocks[16];

    limit_bytes = 64 * MIB;
    setup_with(limited);
    fake.complete_at_once = true;
    fake.late_queries = 3;
    for (int index = 0; index < 16; index++)
        blocks[index] = take(3 * MIB);
    for (int index = 0; index < 16; index++)
        give(blocks[index]);
    fake_hold(&fake);
    cr_assert_eq(pool_allocate(pool, 20 * MIB, 0, &block), 0);
    cr_assert_eq(waits(), 0);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
    teardown();
}

static uint64_t given_back(void)
{
    return fake.calls[FAKE_SEGMENT_FREE] + fake.calls[FAKE_PAGE_RELEASE];
}

/* After it has said so once, the next frees give memory back, too. */
Test(waiting, an_idle_device_may_say_so_a_moment_later_again)
{
    uint64_t blocks[16], first = 0;

    limit_bytes = 64 * MIB;
    setup_with(limited);
    fake.complete_at_once = true;
    fake.late_queries = 3;
    for (int index = 0; index < 16; index++)
        blocks[index] = take(3 * MIB);
    for (int index = 0; index < 16; index++) {
        give(blocks[index]);
        first = first ? first : given_back();
    }
    cr_assert_gt(first, 0);
    cr_assert_gt(given_back(), first);
    teardown();
}

/* A device that stays busy is not queried again and again. */
Test(waiting, a_busy_device_is_looked_at_now_and_then)
{
    uint64_t blocks[16], queries;

    limit_bytes = 64 * MIB;
    setup_with(limited);
    for (int index = 0; index < 16; index++)
        blocks[index] = take(3 * MIB);
    fake_hold(&fake);
    queries = fake.calls[FAKE_FENCE_QUERY];
    for (int index = 0; index < 16; index++)
        give(blocks[index]);
    cr_assert_leq(fake.calls[FAKE_FENCE_QUERY] - queries, 2 * 16);
    cr_assert_eq(waits(), 0);
    fake_release(&fake);
    teardown();
}

/* An end that is refused once is not waited for again and again. */
Test(waiting, what_was_waited_for_in_vain_is_not_waited_for_again)
{
    struct pool_block block;

    limit_bytes = 64 * MIB;
    setup_with(limited);
    take(64 * MIB);
    fake_hold(&fake);
    for (int round = 0; round < 10; round++)
        cr_assert_eq(pool_allocate(pool, MIB, 0, &block), -ENOMEM);
    cr_assert_leq(waits(), 1);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
    teardown();
}

/* A full device with work that does not end, and a small block freed after the work began: an
 * allocation has waited for it in vain. The other blocks are in `blocks`. */
static void wait_in_vain(uint64_t *blocks, size_t most, size_t bytes)
{
    struct pool_block block;

    limit_bytes = 64 * MIB;
    setup_with(limited);
    uint64_t small = take(4 << 10);
    fill(blocks, most, bytes);
    fake_hold(&fake);
    give(small);
    cr_assert_eq(pool_allocate(pool, bytes, 0, &block), -ENOMEM);
    cr_assert_eq(waits(), 1);
    cr_assert_eq(fake.hangs, 0);
}

static const size_t vain_sizes[] = {4 * MIB, 4 << 10}; /* the smaller is worth no fence */

/* The work that was waited for in vain has ended, but its fence is late. What was freed since, with
 * a fence of its own or without, is not given up with it. */
Test(waiting, what_was_waited_for_in_vain_may_have_ended_since)
{
    static uint64_t blocks[100000];
    struct pool_block block;

    for (size_t index = 0; index < 2; index++) {
        wait_in_vain(blocks, 100000, vain_sizes[index]);
        fake.held_at = 0;
        give(blocks[1]);
        cr_assert_eq(pool_allocate(pool, vain_sizes[index], 0, &block), 0, "size %zu",
                     vain_sizes[index]);
        cr_assert_eq(fake.hangs, 0);
        teardown();
    }
}

/* If it has not ended, frees are waited for once more, and within a bound. */
Test(waiting, what_does_not_end_is_looked_at_once_after_a_free)
{
    static uint64_t blocks[100000];
    struct pool_block block;

    for (size_t index = 0; index < 2; index++) {
        wait_in_vain(blocks, 100000, vain_sizes[index]);
        for (int freed = 0; freed < 3; freed++) {
            uint64_t before = waits();

            give(blocks[freed]);
            for (int round = 0; round < 10; round++)
                cr_assert_eq(pool_allocate(pool, vain_sizes[index], 0, &block), -ENOMEM);
            cr_assert_geq(waits() - before, 1, "size %zu", vain_sizes[index]);
            cr_assert_leq(waits() - before, 2, "size %zu", vain_sizes[index]);
        }
        cr_assert_eq(fake.hangs, 0);
        fake_release(&fake);
        teardown();
    }
}

/* The device is too busy for giving back: cached memory serves as it is. */
Test(waiting, cached_memory_of_another_size_serves_on_a_busy_device)
{
    struct pool_block block;

    limit_bytes = 128 * MIB;
    setup_with(limited);
    fake.complete_at_once = true;
    take(64 * MIB);
    give(take(64 * MIB));
    fake_hold(&fake);
    cr_assert_eq(pool_allocate(pool, 20 * MIB, 0, &block), 0);
    cr_assert_eq(block.allocated_bytes, (IS_MAPPED ? 20 : 64) * MIB);
    cr_assert_eq(fake.hangs, 0);
    give(block.address);
    fake_release(&fake);
    teardown();

    setup_with(limited);
    fake.complete_at_once = true;
    take(64 * MIB);
    give(take(64 * MIB));
    fake_hold(&fake);
    for (int index = 0; index < 60; index++)
        take(MIB);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
    teardown();
}

/* Most of a full pool is freed while the device is idle: half returns, for other sizes. */
Test(waiting, a_full_device_gets_half_of_what_is_free)
{
    uint64_t blocks[16];

    limit_bytes = 64 * MIB;
    setup_with(limited);
    fake.complete_at_once = true;
    for (int index = 0; index < 16; index++)
        blocks[index] = take(4 * MIB);
    for (int index = 0; index < 16; index++)
        give(blocks[index]);
    cr_assert_leq(statistics().reserved_bytes.current, 40 * MIB);
    cr_assert_geq(statistics().reserved_bytes.current, 24 * MIB);
    fake_hold(&fake);
    take(20 * MIB);
    cr_assert_eq(waits(), 0);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
    teardown();
}

/* On an idle device, memory that does not fit is returned before twice the size is taken. */
Test(waiting, an_exact_run_comes_before_one_of_twice_the_size)
{
    struct pool_block block;

    limit_bytes = 64 * MIB;
    setup_with(limited);
    fake.complete_at_once = true;
    uint64_t large = take(24 * MIB);
    take(40 * MIB);
    give(large);
    cr_assert_eq(pool_allocate(pool, 14 * MIB, 0, &block), 0);
    cr_assert_eq(block.allocated_bytes, 14 * MIB);
    teardown();
}

/* The same when neither the free nor the ceiling has given anything back. */
Test(waiting, the_ladder_gives_back_before_it_takes_twice_the_size)
{
    struct pool_block block;

    limit_bytes = 64 * MIB;
    setup_with(limited);
    fake.complete_at_once = true;
    uint64_t large = take(22 * MIB), rest = take(42 * MIB);
    give(large);
    cr_assert_eq(statistics().reserved_bytes.current, 64 * MIB);
    cr_assert_eq(pool_allocate(pool, 12 * MIB, 0, &block), 0);
    cr_assert_eq(block.allocated_bytes, 12 * MIB);
    give(rest);
    teardown();
}

/* Epochs in the middle give up their fences, so that there is always room for the newest. */
Test(waiting, a_full_ring_still_takes_the_fence_of_a_free)
{
    setup_with(small_quarantine);
    fake_hold(&fake);
    for (int round = 0; round < 300; round++)
        give(take(MIB));
    cr_assert_geq(fake.fences_recorded, 300);
    cr_assert_leq(fake.fences_live, 64);
    check_pool();
    fake_release(&fake);
    teardown();
}

/* Others are not kept: the waiter holds no lock that they need. */
static void others_allocate(struct fake_backend *backend)
{
    struct pool_block block;
    size_t returned;

    backend->on_wait = NULL;
    cr_assert_eq(pool_allocate(pool, 600, 0, &block), 0);
    cr_assert_eq(pool_allocate(pool, 100 << 10, 0, &block), 0);
    cr_assert_eq(pool_free(block.address, 0, NULL), 0);
    cr_assert_gt(pool_available_bytes(pool), 0);
    cr_assert_eq(pool_trim(pool, SIZE_MAX / 2, &returned), 0);
    check_pool();
}

Test(waiting, a_waiter_is_in_nobodys_way)
{
    struct pool_block block;

    limit_bytes = 64 * MIB;
    setup_with(limited);
    give(take(600));
    give(take(100 << 10));
    give(take(40 * MIB));
    fake.on_wait = others_allocate;
    cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), 0);
    cr_assert_eq(block.outcome, POOL_OUTCOME_WAITED);
    cr_assert_eq(fake.on_wait, NULL);
    teardown();
}

/* Giving a segment back waits for the device, as the driver does. */
static void others_look(struct fake_backend *backend)
{
    struct pool_block block;

    backend->on_segment_free = NULL;
    cr_assert_eq(pool_allocate(pool, 600, 0, &block), 0);
    check_pool();
}

static void others_look_too(struct fake_backend *backend, uint64_t address, uint64_t bytes)
{
    backend->on_unmap = NULL;
    others_look(backend);
}

Test(waiting, giving_back_is_in_nobodys_way, .init = setup, .fini = teardown)
{
    size_t returned;

    fake.complete_at_once = true;
    for (int index = 0; index < 4; index++)
        give(take(5 * MIB));
    fake.on_segment_free = others_look;
    fake.on_unmap = others_look_too;
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert(IS_MAPPED ? !fake.on_unmap : !fake.on_segment_free);
    check_pool();
}

/* A fence that stays open comes to cover later work. So a free beside a capture waits itself if the
 * driver could not give as much instead; what begins later holds up no allocation. */
static void free_beside_a_capture(uint64_t capacity_bytes, bool waits_for_work)
{
    uint64_t blocks[BLOCKS], more[BLOCKS];

    setup();
    fake.capacity_bytes = capacity_bytes;
    take_many(blocks, 20 * MIB);
    fake.capturing = fake.open_fences = true;
    if (!waits_for_work)
        fake_hold(&fake);
    give_many(blocks);
    uint64_t waited = waits();
    cr_assert_eq(waited > 0, waits_for_work);
    if (waits_for_work)
        fake_hold(&fake);
    take_many(more, 20 * MIB);
    cr_assert_eq(waits(), waited);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
    fake.capturing = false;
    give_many(more);
}

Test(waiting, a_free_beside_a_capture_waits_where_the_driver_has_less, .fini = teardown)
{
    free_beside_a_capture(BLOCKS * 20 * MIB, true);
}

Test(waiting, a_free_beside_a_capture_waits_for_nothing_while_the_driver_has_more, .fini = teardown)
{
    free_beside_a_capture(BLOCKS * 50 * MIB, false);
}

/* Cached in another size beside a capture: all of it can be had, as the device is idle. */
Test(waiting, beside_a_capture_no_smaller_size_takes_more_than_it_needs, .fini = teardown)
{
    uint64_t blocks[BLOCKS], more[BLOCKS];

    setup();
    fake.capacity_bytes = BLOCKS / 2 * 40 * MIB;
    for (int index = 0; index < BLOCKS / 2; index++)
        blocks[index] = take(40 * MIB);
    fake.capturing = fake.open_fences = true;
    for (int index = 0; index < BLOCKS / 2; index++)
        give(blocks[index]);
    take_many(more, 20 * MIB);
    give_many(more);
    fake.capturing = false;
}

/* The device is busy: then larger blocks serve, and nothing goes back to the driver, which would
 * wait. */
Test(waiting, beside_a_capture_and_work_a_smaller_size_takes_a_larger_block, .fini = teardown)
{
    uint64_t blocks[BLOCKS];

    setup();
    fake.capacity_bytes = BLOCKS * 40 * MIB;
    for (int index = 0; index < BLOCKS; index++)
        blocks[index] = take(40 * MIB);
    give_many(blocks);
    fake_complete(&fake);
    fake_hold(&fake);
    fake.capturing = fake.open_fences = true;
    uint64_t block = take(20 * MIB);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
    fake.capturing = false;
    give(block);
}

/* Without events nothing shows whether the device is idle. So a wait with a bound comes before
 * anything goes back to the driver, for which the driver would wait without one. */
Test(waiting, without_events_nothing_goes_back_beside_work, .fini = teardown)
{
    uint64_t blocks[BLOCKS];
    struct pool_block block;
    size_t returned;

    setup();
    fake.without_events = true;
    fake.capacity_bytes = BLOCKS * 10 * MIB;
    take_many(blocks, 10 * MIB);
    give_many(blocks);
    fake_hold(&fake);
    bool served = pool_allocate(pool, 200 * MIB, 0, &block) == 0; /* by mapped pages */
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(returned, 0);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
    give(served ? block.address : take(200 * MIB));
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_geq(returned, 200 * MIB);
}
