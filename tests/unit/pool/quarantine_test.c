/* SPDX-License-Identifier: MIT */
/*
 * When a freed block comes back: fences late, missing, failing, captured; and what is written to
 * blocks on the way.
 */
#include "tests/unit/harness.h"
#include <errno.h>

#include "pool/heap/quarantine.h"
#include "tests/unit/pool/fixture.h"

#define MIB ((size_t)1 << 20)

static enum pool_outcome last_outcome;

static uint64_t take_noting(size_t bytes)
{
    struct pool_block block;

    cr_assert_eq(pool_allocate(pool, bytes, 0, &block), 0);
    last_outcome = block.outcome;
    return block.address;
}

Test(quarantine, a_block_is_not_reused_before_its_fence, .init = setup, .fini = teardown)
{
    static const size_t sizes[] = {512, 40000, 4 << 20};

    for (int index = 0; index < 3; index++) {
        uint64_t first = take(sizes[index]);

        give(first);
        for (int again = 0; again < 3; again++)
            cr_assert_neq(take(sizes[index]), first, "reused while its work may run");
    }
    cr_assert_eq(fake.calls[FAKE_FENCE_WAIT] + fake.calls[FAKE_DEVICE_WAIT], 0,
                 "growing within the bound needs no wait");
}

static void bound_4_mib(struct pool_config *config)
{
    config->quarantine_max = 4 * MIB;
}

static uint64_t waits(void)
{
    return fake.calls[FAKE_FENCE_WAIT] + fake.calls[FAKE_DEVICE_WAIT];
}

Test(quarantine, above_the_bound_an_allocation_grows_and_does_not_wait, .fini = teardown)
{
    setup_with(bound_4_mib);
    uint64_t first = take(64 * MIB);
    give(first);
    cr_assert_eq(fake.calls[FAKE_FENCE_RECORD], 1, "the free has recorded the fence");
    cr_assert_neq(take_noting(64 * MIB), first);
    cr_assert_eq(last_outcome, POOL_OUTCOME_MISS);
    cr_assert_eq(waits(), 0);
}

Test(quarantine, when_the_driver_refuses_the_fence_of_the_free_is_waited_for, .fini = teardown)
{
    setup_with(bound_4_mib);
    fake.capacity_bytes = 100 * MIB;
    uint64_t first = take(64 * MIB);
    give(first);
    fake_hold(&fake);
    cr_assert_eq(take_noting(64 * MIB), first);
    cr_assert_eq(last_outcome, POOL_OUTCOME_WAITED);
    cr_assert_eq(fake.calls[FAKE_FENCE_WAIT], 1);
    cr_assert_eq(fake.hangs, 0);
    cr_assert_eq(statistics().waits, 1);
    cr_assert_eq(statistics().reserved_bytes.current, 64 * MIB);
    /* Mapped memory comes in pieces: some were there before the driver refused the next one. */
    cr_assert_eq(statistics().reserved_bytes.peak, fake.peak_bytes);
}

static void others_go_on(struct fake_backend *backend)
{
    backend->on_wait = NULL;
    for (int round = 0; round < 300; round++)
        give(take(64 * MIB));
}

/* A thread that was woken but does not run: many epochs pass before it comes back. */
Test(quarantine, a_late_waiter_does_not_keep_others_from_reuse, .fini = teardown)
{
    setup_with(bound_4_mib);
    fake.capacity_bytes = 100 * MIB;
    give(take(64 * MIB));
    fake.on_wait = others_go_on;
    give(take(64 * MIB));
    cr_assert_eq(fake.on_wait, NULL, "nobody waited");
    cr_assert_leq(statistics().reserved_bytes.peak, 128 * MIB);
}

Test(quarantine, a_finished_fence_is_used_without_waiting, .fini = teardown)
{
    setup_with(bound_4_mib);
    fake.complete_at_once = true;
    uint64_t first = take(64 * MIB);
    give(first);
    cr_assert_eq(take_noting(64 * MIB), first);
    cr_assert_eq(last_outcome, IS_MAPPED ? POOL_OUTCOME_HIT : POOL_OUTCOME_MISS,
                 "with mapped memory the free has asked");
    cr_assert_eq(fake.calls[FAKE_FENCE_WAIT], 0);
}

Test(quarantine, one_fence_serves_many_blocks, .fini = teardown)
{
    setup_with(bound_4_mib);
    fake.complete_at_once = true;
    for (int round = 0; round < 10000; round++)
        give(take(8192));
    struct pool_statistics s = statistics();
    cr_assert_lt(s.fences, 100, "%llu fences for 10000 blocks", (unsigned long long)s.fences);
    cr_assert_lt(s.reserved_bytes.peak, 16 * MIB);
    cr_assert_gt(s.hits, 9900);
}

Test(quarantine, while_capturing_the_pool_grows_and_retires_nothing, .fini = teardown)
{
    setup_with(bound_4_mib);
    uint64_t first = take(64 * MIB);
    give(first);
    fake_complete(&fake);
    fake.complete_at_once = true;
    fake.capturing = true;
    uint64_t second = take_noting(64 * MIB);
    cr_assert_neq(second, first);
    cr_assert_eq(last_outcome, POOL_OUTCOME_MISS);
    cr_assert_eq(fake.calls[FAKE_FENCE_WAIT] + fake.calls[FAKE_DEVICE_WAIT], 0);
    check_pool();
    give(second);
    cr_assert_neq(take(64 * MIB), first);
    fake.capturing = false;
    cr_assert_eq(take(64 * MIB), first);
}

Test(quarantine, without_events_frees_wait_for_the_device, .fini = teardown)
{
    setup_with(bound_4_mib);
    fake.without_events = true;
    uint64_t first = take(64 * MIB);
    give(first);
    cr_assert_eq(fake.calls[FAKE_DEVICE_WAIT], 1);
    fake_hold(&fake);
    cr_assert_eq(take_noting(64 * MIB), first);
    cr_assert_eq(last_outcome, POOL_OUTCOME_HIT);
    fake_release(&fake);
    give(first);
    give(take(1000));
    cr_assert_eq(fake.calls[FAKE_DEVICE_WAIT], 3);
    cr_assert_eq(fake.calls[FAKE_FENCE_RECORD], 1, "the answer is remembered");
    cr_assert_eq(fake.hangs, 0);
}

static void synchronous(struct pool_config *config)
{
    config->reuse = POOL_REUSE_SYNC;
}

Test(quarantine, synchronous_reuse_waits_at_the_free, .fini = teardown)
{
    setup_with(synchronous);
    static const size_t sizes[] = {512, 40000, 4 << 20};
    for (int index = 0; index < 3; index++) {
        uint64_t first = take(sizes[index]);

        give(first);
        cr_assert_eq(fake.calls[FAKE_DEVICE_WAIT], (unsigned)index + 1);
    }
    cr_assert_eq(take(4 << 20) != 0, true);
    cr_assert_eq(fake.calls[FAKE_FENCE_RECORD], 0);
    cr_assert_eq(statistics().reserved_bytes.current, 6 * MIB, "the run was used again");
}

Test(quarantine, synchronous_reuse_during_capture_keeps_the_block, .fini = teardown)
{
    setup_with(synchronous);
    uint64_t first = take(4 * MIB);
    fake.capturing = true;
    give(first);
    cr_assert_neq(take(4 * MIB), first);
    fake.capturing = false;
    give(take(512));
    cr_assert_eq(take(4 * MIB), first, "the wait of a later free covers it");
}

static void immediate(struct pool_config *config)
{
    config->reuse = POOL_REUSE_IMMEDIATE;
}

Test(quarantine, immediate_reuse_makes_no_call, .fini = teardown)
{
    setup_with(immediate);
    static const size_t sizes[] = {512, 40000, 4 << 20};
    for (int index = 0; index < 3; index++) {
        give(take(sizes[index])); /* the pool has grown */
        uint64_t first = take(sizes[index]);
        uint64_t calls = fake.calls_total;

        give(first);
        cr_assert_eq(take(sizes[index]), first);
        cr_assert_eq(fake.calls_total, calls);
    }
}

Test(quarantine, pending_epochs_are_bounded, .fini = teardown)
{
    setup_with(bound_4_mib);
    for (int round = 0; round < 500; round++) {
        give(take(1 * MIB));
        check_pool();
    }
    cr_assert_leq(fake.fences_live, 64);
}

/* ---- fill and scrub ---- */

static void scrub_zero(struct pool_config *config)
{
    config->scrub = POOL_FILL_ZERO;
    config->quarantine_max = 1;
}

Test(fill, scrubbing_happens_after_the_fence_and_before_reuse, .fini = teardown)
{
    setup_with(scrub_zero);
    static const size_t sizes[] = {512, 40000, 4 << 20};
    for (int index = 0; index < 3; index++) {
        struct pool_block block;

        cr_assert_eq(pool_allocate(pool, sizes[index], 0, &block), 0);
        uint64_t stamp = fake.stamp;
        size_t fills = fake.fill_count;
        give(block.address);
        cr_assert_eq(fake.fill_count, fills, "nothing is written while work may still read it");
        size_t returned;
        cr_assert_eq(pool_trim(pool, 0, &returned), 0);
        cr_assert_eq(fake.fill_count, fills + 1);
        cr_assert_eq(fake.fills[fills].address, block.address);
        cr_assert_eq(fake.fills[fills].bytes, block.allocated_bytes);
        cr_assert_eq(fake.fills[fills].value, 0);
        cr_assert_gt(fake.fills[fills].completed, stamp);
    }
}

static void scrub_immediate(struct pool_config *config)
{
    config->scrub = POOL_FILL_POISON;
    config->reuse = POOL_REUSE_IMMEDIATE;
}

Test(fill, a_block_that_could_not_be_scrubbed_is_not_reused, .fini = teardown)
{
    setup_with(scrub_immediate);
    static const size_t sizes[] = {512, 40000, 4 << 20};
    for (int index = 0; index < 3; index++) {
        uint64_t first = take(sizes[index]);

        fake.fail_at = fake.calls_total + 1;
        fake.fail_error = -EBUSY;
        give(first);
        cr_assert_eq(fake.fill_count, 0);
        cr_assert_neq(take(sizes[index]), first);
    }
}

static void fill_poison(struct pool_config *config)
{
    config->fill = POOL_FILL_POISON;
}

Test(fill, an_allocation_is_filled, .fini = teardown)
{
    setup_with(fill_poison);
    struct pool_block block;
    cr_assert_eq(pool_allocate(pool, 1000, 0, &block), 0);
    cr_assert_eq(fake.fill_count, 1);
    cr_assert_eq(fake.fills[0].address, block.address);
    cr_assert_eq(fake.fills[0].bytes, block.allocated_bytes);
    cr_assert_eq(fake.fills[0].value, POOL_POISON_BYTE);
}

Test(fill, an_allocation_that_cannot_be_filled_fails_and_leaks_nothing, .fini = teardown)
{
    setup_with(fill_poison);
    struct pool_block block;
    give(take(1000));
    fake.fail_at = fake.calls_total + 1;
    fake.fail_error = -EPERM;
    cr_assert_eq(pool_allocate(pool, 1000, 0, &block), -EPERM);
    cr_assert_eq(statistics().live_blocks.current, 0);
    cr_assert_eq(statistics().live_requested_bytes.current, 0);
}

static void bound_64_mib(struct pool_config *config)
{
    config->quarantine_max = 64 * MIB;
}

/* Memory of a closed epoch is still quarantined, and no longer open, at any size. */
Test(quarantine, an_epoch_takes_what_is_open, .fini = teardown)
{
    static const size_t sizes[] = {512, 30000, 100 << 10, 1 << 20};
    uint64_t all, open, blocks[20];

    setup_with(bound_64_mib);
    fake_hold(&fake);
    for (int index = 0; index < 20; index++)
        blocks[index] = take(sizes[index % 4]);
    for (int index = 0; index < 20; index++)
        give(blocks[index]);
    quarantine_bytes_get(pool, &all, &open);
    cr_assert_eq(open, all);
    pool_lock_acquire(&pool->backend_lock);
    cr_assert_eq(quarantine_close_locked(pool, QUARANTINE_BY_OTHERS), 0);
    pool_lock_release(&pool->backend_lock);
    uint64_t before = all;
    quarantine_bytes_get(pool, &all, &open);
    cr_assert_eq(open, 0);
    cr_assert_eq(all, before);
    fake_release(&fake);
}

/** Labels are compared across the end of their 32 bits. */
Test(quarantine, labels_go_on_behind_their_end)
{
    cr_expect(quarantine_passed(UINT32_MAX, UINT32_MAX));
    cr_expect(quarantine_passed(UINT32_MAX, 0));
    cr_expect(quarantine_passed(UINT32_MAX - 5, 3));
    cr_expect_not(quarantine_passed(0, UINT32_MAX));
    cr_expect_not(quarantine_passed(3, UINT32_MAX - 5));
    cr_expect_not(quarantine_passed(8, 7));
}
