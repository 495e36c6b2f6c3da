/* SPDX-License-Identifier: MIT */
/*
 * Little memory: limits, small devices, the rungs of the ladder, and what growth leaves behind.
 */
#include "tests/unit/harness.h"
#include <errno.h>

#include "pool/heap/types.h"
#include "tests/unit/pool/fixture.h"

#define MIB ((size_t)1 << 20)

static void limit_64_mib(struct pool_config *config)
{
    config->limit_bytes = 64 * MIB;
}

Test(pressure, reserved_never_exceeds_the_limit, .fini = teardown)
{
    setup_with(limit_64_mib);
    uint64_t blocks[64];
    struct pool_block block;
    int count = 0, error;
    while ((error = pool_allocate(pool, 3 * MIB, 0, &block)) == 0)
        blocks[count++] = block.address;
    cr_assert_eq(error, -ENOMEM);
    cr_assert_eq(count, IS_MAPPED ? 21 : 16);
    cr_assert_leq(fake.peak_bytes, 64 * MIB);
    cr_assert_eq(pool_allocate(pool, 1000, 0, &block), IS_MAPPED ? 0 : -ENOMEM);
    give(blocks[3]);
    take(1000);
    cr_assert_leq(fake.peak_bytes, 64 * MIB);
    cr_assert_eq(statistics().failures, IS_MAPPED ? 1 : 2);
    cr_assert_eq(statistics().pressure_fail, IS_MAPPED ? 1 : 2);
}

Test(pressure, quarantined_memory_is_waited_for_before_failing, .init = setup, .fini = teardown)
{
    fake.capacity_bytes = 64 * MIB;
    uint64_t first = take(60 * MIB);
    give(first);
    struct pool_block block;
    cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), 0);
    cr_assert_eq(block.outcome, POOL_OUTCOME_WAITED);
    cr_assert_leq(fake.peak_bytes, 64 * MIB);
}

/* A peer that was given access may still use what was freed; the others cannot. */
Test(pressure, quarantined_runs_go_back_beside_peers_without_access)
{
    for (int linked = 0; linked < 2; linked++) {
        struct pool_block block;
        size_t returned;

        for (int trim = 0; trim < 2; trim++) {
            setup();
            fake.capacity_bytes = 64 * MIB;
            fake.only_peers = true;
            fake.linked = linked;
            uint64_t first = take(60 * MIB);
            fake_hold(&fake);
            give(first);
            if (trim) {
                cr_assert_eq(pool_trim(pool, 0, &returned), 0);
                cr_assert_eq(returned, linked || IS_MAPPED ? 0 : 60 * MIB);
            }
            cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block),
                         linked || IS_MAPPED ? -ENOMEM : 0);
            fake_release(&fake);
            cr_assert_eq(pool_allocate(pool, 20 * MIB, 0, &block), 0);
            teardown();
        }
    }
}

Test(pressure, cached_runs_and_empty_slabs_go_back_before_failing, .init = setup, .fini = teardown)
{
    fake.capacity_bytes = 64 * MIB;
    fake.complete_at_once = true;
    static uint64_t small[2000], middle[200];
    for (int index = 0; index < 2000; index++)
        small[index] = take(8192);
    for (int index = 0; index < 200; index++)
        middle[index] = take(100 << 10);
    for (int index = 0; index < 2000; index++)
        give(small[index]);
    for (int index = 0; index < 200; index++)
        give(middle[index]);
    take(64 * MIB);
    cr_assert_gt(statistics().segment_frees, 0);
    check_pool();
}

Test(pressure, a_device_out_of_memory_answers_and_recovers, .init = setup, .fini = teardown)
{
    fake.capacity_bytes = 32 * MIB;
    struct pool_block block;
    uint64_t held = take(20 * MIB);
    cr_assert_eq(pool_allocate(pool, 20 * MIB, 0, &block), -ENOMEM);
    cr_assert_eq(statistics().pressure_retire + statistics().pressure_return, 0);
    take(4 * MIB);
    give(held);
    take(26 * MIB);
    cr_assert_eq(statistics().failures, 1);
    cr_assert_gt(statistics().pressure_retire, 0);
}

static void high_ceiling(struct pool_config *config)
{
    config->ceiling_percent = 100;
}

/* Below the ceiling nothing is returned before the device refuses. */
Test(pressure, what_is_free_is_returned_when_the_device_refuses, .fini = teardown)
{
    uint64_t blocks[16];
    struct pool_block block;

    setup_with(high_ceiling);
    fake.capacity_bytes = 64 * MIB;
    fake.complete_at_once = true;
    for (int index = 0; index < 16; index++)
        blocks[index] = take(4 * MIB);
    give(blocks[2]);
    give(blocks[9]);
    cr_assert_eq(statistics().reserved_bytes.current, 64 * MIB);
    take(8 * MIB);
    cr_assert_eq(statistics().failures, 0);
    /* Mapped memory was stitched while growing; here too few whole pages are free. */
    give(blocks[4]);
    give(blocks[6]);
    take(MIB);
    cr_assert_eq(pool_allocate(pool, 7 * MIB, 0, &block), -ENOMEM);
    cr_assert_gt(statistics().pressure_return, 0);
    check_pool();
}

/* Calls of the device that one more refused request makes. */
static uint64_t refused_calls(size_t bytes)
{
    struct pool_block block;
    uint64_t before = fake.calls_total;

    cr_assert_eq(pool_allocate(pool, bytes, 0, &block), -ENOMEM);
    return fake.calls_total - before;
}

/* Fills the device with blocks, and frees every eighth. Returns how many there are. */
static int fill_with_holes(size_t bytes, uint64_t *blocks, int most)
{
    struct pool_block block;
    int count = 0;

    while (count < most && pool_allocate(pool, bytes, 0, &block) == 0)
        blocks[count++] = block.address;
    for (int index = 0; index < count; index += 8)
        give(blocks[index]);
    return count;
}

Test(pressure, a_refusal_costs_one_request_when_nothing_can_help, .init = setup, .fini = teardown)
{
    static const size_t wanted[] = {1000, 100 << 10, 20 * MIB, 900 * MIB, (size_t)1 << 40};
    static uint64_t blocks[1024];

    fake.capacity_bytes = 1024 * MIB;
    fill_with_holes(4 * MIB, blocks, 1024);
    struct pool_block block;
    cr_assert_eq(pool_allocate(pool, 900 * MIB, 0, &block), -ENOMEM);
    while (pool_allocate(pool, 1000, 0, &block) == 0)
        continue;
    fake_hold(&fake); /* nothing would be gained by waiting */
    uint64_t waits = fake.calls[FAKE_FENCE_WAIT];
    for (unsigned index = 0; index < 5; index++) {
        refused_calls(wanted[index]);
        uint64_t calls = refused_calls(wanted[index]);
        cr_assert_leq(calls, IS_MAPPED ? 3 : 2, "%zu bytes: %d calls", wanted[index], (int)calls);
    }
    cr_assert_eq(fake.calls[FAKE_FENCE_WAIT], waits);
    fake_release(&fake);
    give(blocks[1]);
    take(4 * MIB);
    check_pool();
}

/* Freed memory that is too little, beside work that does not end. */
Test(pressure, a_refusal_does_not_wait_for_too_little, .init = setup, .fini = teardown)
{
    static uint64_t blocks[1024];

    fake.capacity_bytes = 1024 * MIB;
    fill_with_holes(64 * MIB, blocks, 1024);
    give(take(1000));
    fake_hold(&fake);
    give(blocks[1]);
    uint64_t waits = fake.calls[FAKE_FENCE_WAIT];
    for (int round = 0; round < 3; round++)
        cr_assert_leq(refused_calls(900 * MIB), 12);
    cr_assert_eq(fake.calls[FAKE_FENCE_WAIT], waits);
    fake_release(&fake);
    take(150 * MIB);
}

#ifdef TEST_MAPPED
/* Before, every refusal created all that the device had, in handles, and gave it back. */
Test(pressure, what_the_device_lacks_is_not_created_in_parts, .init = setup, .fini = teardown)
{
    static const size_t more[] = {1100, 1500, 4000};

    fake.capacity_bytes = 1024 * MIB;
    take(1000);
    for (unsigned index = 0; index < 3; index++) {
        refused_calls(more[index] * MIB);
        cr_assert_leq(refused_calls(more[index] * MIB), 10);
    }
    take(900 * MIB);
}

/* No hole can hold a page of objects. */
Test(pressure, small_blocks_use_the_holes_of_larger_ones, .init = setup, .fini = teardown)
{
    static uint64_t blocks[2048];

    fake.capacity_bytes = 256 * MIB;
    int count = fill_with_holes(MIB, blocks, 2048);
    cr_assert_gt(count, 200);
    for (size_t bytes = 1; bytes <= 32768; bytes *= 2)
        for (int index = 0; index < 20; index++)
            take(bytes);
    check_pool();
}
static void immediate(struct pool_config *config)
{
    config->reuse = POOL_REUSE_IMMEDIATE;
}

/* A refusal alone does not show that memory is short. */
Test(pressure, a_refusal_beside_much_memory_leaves_placement_alone, .fini = teardown)
{
    uint64_t blocks[32];

    setup_with(immediate);
    fake.capacity_bytes = 1024 * MIB;
    for (int index = 0; index < 32; index++)
        blocks[index] = take(3 * MIB);
    for (int index = 1; index < 32; index += 8)
        give(blocks[index]);
    for (int round = 0; round < 3; round++) {
        uint64_t small;

        refused_calls(2000 * MIB);
        uint64_t grown = take(20 * MIB);
        while ((small = take(MIB / 2)) > grown)
            continue;
        cr_assert_eq(small, blocks[1] + (uint64_t)round * MIB / 2, "round %d", round);
    }
}

/* Placement by page ends when the device has much memory again. */
Test(pressure, placement_by_page_ends_with_the_shortage, .init = setup, .fini = teardown)
{
    static uint64_t blocks[1024];
    struct pool_block block;
    size_t returned;

    fake.capacity_bytes = 256 * MIB;
    int count = fill_with_holes(3 * MIB, blocks, 1024);
    while (pool_allocate(pool, 2 * MIB, 0, &block) == 0)
        continue;
    cr_assert(pool->runs.range->by_page);
    for (int index = 0; index < count; index++)
        if (index % 8 != 0)
            give(blocks[index]);
    fake_complete(&fake);
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_gt(returned, 128 * MIB);
    take(20 * MIB);
    take(64 * MIB);
    cr_assert_not(pool->runs.range->by_page);
    check_pool();
}

/* What is left lies beside large blocks, where placement by page puts no small one. */
Test(pressure, a_block_gets_the_last_place_where_blocks_are_placed_by_page, .init = setup,
     .fini = teardown)
{
    static uint64_t blocks[1024];
    struct pool_block block;

    fake.capacity_bytes = 256 * MIB;
    int count = fill_with_holes(3 * MIB, blocks, 1024);
    cr_assert_gt(count, 70);
    while (pool_allocate(pool, 2 * MIB, 0, &block) == 0)
        continue;
    uint64_t spare = pool_spare_bytes(pool);
    cr_assert_gt(spare, 8 * MIB);
    unsigned served = 0;
    while (pool_allocate(pool, MIB, 0, &block) == 0)
        served++;
    cr_assert_geq(served, 8, "%u of %d MiB", served, (int)(spare >> 20));
    check_pool();
}
#endif

#ifndef TEST_MAPPED /* nothing is unmapped that a fence has not covered */
Test(pressure, what_no_fence_can_tell_of_goes_to_the_driver, .init = setup, .fini = teardown)
{
    fake.capacity_bytes = 64 * MIB;
    fake.capturing = true;
    uint64_t middle = take(100 << 10), held = take(4 * MIB);
    for (int round = 0; round < 20; round++)
        give(take(20 * MIB));
    cr_assert_gt(statistics().pressure_surrender, 0);
    cr_assert_eq(statistics().failures, 0);
    cr_assert_eq(statistics().fences, 0);
    check_pool();
    give(middle);
    give(held);
    fake.capturing = false;
    take(60 * MIB);
    check_pool();
}
#endif

static void scrub_zero(struct pool_config *config)
{
    config->scrub = POOL_FILL_ZERO;
}

Test(pressure, what_must_be_scrubbed_does_not_go_to_the_driver_before, .fini = teardown)
{
    setup_with(scrub_zero);
    fake.capacity_bytes = 64 * MIB;
    fake.capturing = true;
    struct pool_block block;
    give(take(40 * MIB));
    cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), -ENOMEM);
    fake.capturing = false;
    take(40 * MIB);
    cr_assert_eq(fake.fill_count, 1);
}

Test(pressure, errors_of_the_driver_are_passed_on, .init = setup, .fini = teardown)
{
    static const int errors[] = {-EPERM, -EIO, -ENOTSUP};
    struct pool_block block;

    for (int index = 0; index < 3; index++) {
        fake.fail_at = fake.calls_total + 1;
        fake.fail_error = errors[index];
        cr_assert_eq(pool_allocate(pool, 1000, 0, &block), errors[index]);
    }
    take(1000);
}

#ifndef TEST_MAPPED
/* The driver may wait for the device in there: nobody else is held up meanwhile. */
static void others_trim(struct fake_backend *backend)
{
    size_t returned;

    backend->on_segment_free = NULL;
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
}

Test(pressure, misaligned_segments_are_refused_and_given_back, .init = setup, .fini = teardown)
{
    struct pool_block block;

    fake.misalign_bytes = 4096;
    fake.on_segment_free = others_trim;
    cr_assert_eq(pool_allocate(pool, 1000, 0, &block), -ENOTSUP);
    cr_assert_eq(pool_allocate(pool, 4 * MIB, 0, &block), -ENOTSUP);
    cr_assert_eq(fake.on_segment_free, NULL);
    cr_assert_eq(held_count(), 0);
    fake.misalign_bytes = 0;
    take(1000);
}
#endif

Test(pressure, growing_by_reallocation_does_not_pile_up_old_blocks, .init = setup, .fini = teardown)
{
    fake.complete_at_once = true;
    uint64_t current = take(64 * MIB);
    uint64_t needed = 0;
    for (size_t bytes = 66 * MIB; bytes <= 256 * MIB; bytes += 2 * MIB) {
        uint64_t next = take(bytes);

        give(current);
        current = next;
        needed = 2 * bytes - 2 * MIB;
    }
    cr_assert_leq(10 * fake.peak_bytes, 11 * needed, "peak %llu for %llu needed",
                  (unsigned long long)fake.peak_bytes, (unsigned long long)needed);
}

Test(pressure, a_tiny_program_holds_little_more_than_it_needs, .init = setup, .fini = teardown)
{
    fake.complete_at_once = true;
    uint64_t held[16] = {0};
    for (int round = 0; round < 100000; round++) {
        int slot = round * 7 % 16;

        if (held[slot] != 0)
            give(held[slot]);
        held[slot] = take(512 + (size_t)(round * 131 % 100000));
    }
    cr_assert_leq(fake.peak_bytes, 16 * MIB);
}

/* ---- events ---- */

static unsigned events[POOL_EVENT_REQUEST + 1];
static struct pool_event last_failure;

static void note(void *state, const struct pool_event *event)
{
    events[event->kind]++;
    if (event->kind == POOL_EVENT_FAILURE)
        last_failure = *event;
}

static void observed(struct pool_config *config)
{
    config->observe = note;
}

Test(pressure, each_step_is_observed, .fini = teardown)
{
    setup_with(observed);
    struct pool_block block;
    size_t returned;
    fake.capacity_bytes = 16 * MIB;
    give(take(12 * MIB));
    uint64_t last = take(14 * MIB);
    cr_assert_eq(pool_allocate(pool, 8 * MIB, 0, &block), -ENOMEM);
    if (IS_MAPPED) /* it is where the other one was: nothing had to go back for it */
        give(last);
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    if (IS_MAPPED) {
        cr_assert_eq(events[POOL_EVENT_MAP], statistics().maps);
        cr_assert_eq(events[POOL_EVENT_UNMAP], statistics().unmaps);
        cr_assert_gt(events[POOL_EVENT_UNMAP], 0);
        cr_assert_eq(events[POOL_EVENT_STITCH], statistics().stitches);
    } else {
        cr_assert_eq(events[POOL_EVENT_SEGMENT_FREE], statistics().segment_frees);
        cr_assert_geq(events[POOL_EVENT_SEGMENT_ALLOCATE], statistics().segment_allocations);
    }
    cr_assert_eq(events[POOL_EVENT_FENCE], statistics().fences);
    cr_assert_gt(events[POOL_EVENT_WAIT], 0);
    cr_assert_gt(events[POOL_EVENT_TRIM], 0);
    cr_assert_gt(events[POOL_EVENT_REQUEST], 1); /* a trim and figures */
    cr_assert_eq(events[POOL_EVENT_REFUSAL] > 0, IS_MAPPED);
    cr_assert_eq(events[POOL_EVENT_FAILURE], 1);
    cr_assert_eq(last_failure.bytes, 8 * MIB);
    cr_assert_eq(last_failure.error, -ENOMEM);
}
