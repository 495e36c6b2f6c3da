/* SPDX-License-Identifier: MIT */
/*
 * Isolated blocks: they end where their memory ends, have none beside them, and after their free
 * none below them; blocks freed long ago, or refused half-way, leave nothing behind.
 */
#define TEST_MAPPED
#include "tests/random.h"
#include "tests/unit/pool/fixture.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "pool/backing/mapped.h"

#define MIB ((size_t)1 << 20)

static struct pool_block isolate(size_t bytes)
{
    struct pool_block block;
    int error = pool_allocate_isolated(pool, bytes, 7, &block);

    cr_assert_eq(error, 0, "allocation of %zu bytes: %d", bytes, error);
    cr_assert(block.isolated && block.live);
    cr_assert_eq(block.requested_bytes, bytes);
    return block;
}

static uint64_t memory_end(const struct pool_block *block)
{
    return block->segment_address + block->segment_bytes;
}

static void assert_alone(const struct pool_block *block)
{
    cr_assert(fake_accessible(&fake, block->segment_address, block->segment_bytes));
    cr_assert_not(fake_accessible(&fake, memory_end(block), 1));
    cr_assert_not(fake_accessible(&fake, memory_end(block) + 2 * MIB - 1, 1));
    cr_assert_not(fake_accessible(&fake, block->segment_address - 1, 1));
    cr_assert_not(fake_accessible(&fake, block->segment_address - 2 * MIB, 1));
    cr_assert_lt(memory_end(block) - block->address - block->requested_bytes,
                 POOL_ISOLATED_ALIGNMENT);
    cr_assert_eq(block->address % POOL_ISOLATED_ALIGNMENT, 0);
    cr_assert_geq(block->address, block->segment_address);
}

Test(isolated, blocks_end_where_memory_ends, .fini = teardown)
{
    static const size_t sizes[] = {1,           255,     256,         257,     4096,
                                   2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 8 * MIB, 21 * MIB + 100};
    struct pool_block blocks[sizeof(sizes) / sizeof(*sizes)], found;

    setup();
    for (size_t at = 0; at < sizeof(sizes) / sizeof(*sizes); at++) {
        blocks[at] = isolate(sizes[at]);
        give(take(3 * MIB)); /* what grows does not come between */
        check_pool();
    }
    for (size_t at = 0; at < sizeof(sizes) / sizeof(*sizes); at++) {
        assert_alone(&blocks[at]);
        cr_assert_eq(pool_range_get(blocks[at].address + sizes[at] - 1, &found), 0);
        cr_assert(found.isolated && found.address == blocks[at].address);
        cr_assert_lt(pool_range_get(blocks[at].address + sizes[at], &found), 0);
        cr_assert_lt(pool_range_get(blocks[at].address - 1, &found), 0);
        cr_assert_lt(pool_free(blocks[at].segment_address - 1, 0, NULL), 0);
        if (blocks[at].address != blocks[at].segment_address)
            cr_assert_lt(pool_free(blocks[at].segment_address, 0, NULL), 0);
    }
    for (size_t at = 0; at < sizeof(sizes) / sizeof(*sizes); at++)
        give(blocks[at].address);
}

Test(isolated, freed_memory_is_gone_and_known, .fini = teardown)
{
    setup();
    struct pool_memory before, after;
    pool_memory_get(pool, &before);
    struct pool_block block = isolate(5 * MIB), found;
    cr_assert_eq(pool_free(block.address, 9, NULL), 0);
    cr_assert_not(fake_accessible(&fake, block.segment_address, 1));
    pool_memory_get(pool, &after);
    cr_assert_eq(after.reserved_bytes, before.reserved_bytes);
    cr_assert_eq(after.hole_bytes, before.hole_bytes);
    cr_assert_eq(pool_free(block.address, 0, &found), -EALREADY);
    cr_assert_eq(found.allocation_site, 7);
    cr_assert_eq(found.free_site, 9);
    cr_assert_lt(pool_range_get(block.address, &found), 0);
    for (int more = 0; more < 100; more++) {
        struct pool_block next = isolate(5 * MIB);

        cr_assert(memory_end(&next) <= block.segment_address ||
                      next.segment_address >= memory_end(&block),
                  "its addresses are used again");
        give(next.address);
    }
    cr_assert_not(fake_accessible(&fake, block.segment_address, 1));
    cr_assert_eq(fake.calls[FAKE_FENCE_WAIT], 0);
}

/* An eighth of the range; then the oldest are forgotten, and their addresses come again. */
Test(isolated, addresses_are_kept_within_bounds, .fini = teardown)
{
    setup();
    struct pool_block block = isolate(64 * MIB), found;
    give(block.address);
    for (uint64_t kept = 0; kept < FAKE_RANGE_BYTES / MAPPED_FENCED_SHARE; kept += 64 * MIB) {
        cr_assert_eq(pool_free(block.address, 0, &found), -EALREADY, "forgotten early");
        give(isolate(64 * MIB).address);
    }
    cr_assert_eq(pool_free(block.address, 0, NULL), -ENOENT);
    for (int round = 0; round < 1000; round++) {
        give(isolate(64 * MIB).address);
        if (round % 50 == 0)
            check_pool();
    }
}

Test(isolated, many_small_ones_are_kept_within_bounds, .fini = teardown)
{
    setup();
    struct pool_block block = isolate(1), found;
    give(block.address);
    for (unsigned more = 0; more < 512; more++) /* of 2 MiB: a GiB */
        give(isolate(1).address);
    cr_assert_eq(pool_free(block.address, 0, &found), -ENOENT);
}

/* A free that may not wait: the memory stays until a fence behind it has been passed. */
Test(isolated, beside_work_memory_stays, .fini = teardown)
{
    setup();
    struct pool_block block = isolate(4 * MIB), found;
    fake.capturing = true;
    cr_assert_eq(pool_free(block.address, 9, NULL), 0);
    cr_assert(fake_accessible(&fake, block.segment_address, 4 * MIB), "unmapped under work");
    cr_assert_eq(pool_free(block.address, 0, &found), -EALREADY);
    fake.capturing = false;
    give(isolate(4 * MIB).address);
    cr_assert_not(fake_accessible(&fake, block.segment_address, 1));
}

/* Not only by the next request: an idle device is enough. */
Test(isolated, what_was_freed_beside_work_goes_when_idle, .fini = teardown)
{
    setup();
    struct pool_block block = isolate(4 * MIB);
    fake.capturing = true;
    give(block.address);
    fake.capturing = false;
    fake.complete_at_once = true;
    pool_idle_return(pool);
    cr_assert_not(fake_accessible(&fake, block.segment_address, 1));
}

static void immediate(struct pool_config *config)
{
    config->reuse = POOL_REUSE_IMMEDIATE;
}

Test(isolated, immediate_reuse_waits_for_them_all_the_same, .fini = teardown)
{
    setup_with(immediate);
    struct pool_block block = isolate(4 * MIB);
    fake.capturing = true;
    give(block.address);
    cr_assert(fake_accessible(&fake, block.segment_address, 4 * MIB), "unmapped under work");
    fake.capturing = false;
}

/* Free memory may return on an idle device, even if the device reports that only a moment later. */
Test(isolated, immediate_reuse_gives_back_what_an_idle_device_need_not_keep, .fini = teardown)
{
    size_t returned;

    setup_with(immediate);
    fake.complete_at_once = true;
    fake.late_queries = 5;
    give(take(20 * MIB));
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_geq(returned, 20 * MIB);
}

static void limited(struct pool_config *config)
{
    config->limit_bytes = 128 * MIB;
}

static void filled(struct pool_config *config)
{
    config->fill = POOL_FILL_ZERO;
    config->scrub = POOL_FILL_POISON;
}

Test(isolated, what_is_filled_lies_within, .fini = teardown)
{
    setup_with(filled);
    struct pool_block block = isolate(3 * MIB + 5);
    cr_assert_eq(fake.fill_count, 1);
    cr_assert_eq(fake.fills[0].address, block.address);
    cr_assert_eq(fake.fills[0].bytes, 3 * MIB + 5);
    give(block.address);
    cr_assert_eq(fake.fill_count, 1, "memory that goes away was scrubbed");
}

/* So many small ones that a quarter of the device is wasted: the next is refused, and what is left
 * serves ordinary blocks. */
Test(isolated, small_ones_leave_memory_for_others, .fini = teardown)
{
    struct pool_block blocks[64];
    int count = 0;

    setup_with(limited);
    while (count < 64 && pool_allocate_isolated(pool, 256, 0, &blocks[count]) == 0)
        count++;
    cr_assert_eq(count, 16);
    struct pool_block whole = isolate(16 * MIB);
    uint64_t other = take(60 * MIB);
    give(blocks[--count].address);
    blocks[count++] = isolate(256);
    give(other);
    give(whole.address);
    while (count > 0)
        give(blocks[--count].address);
}

/* The device is full of cached memory: it goes back. Of live memory: refused, as it stands. */
Test(isolated, a_full_device, .fini = teardown)
{
    setup();
    struct pool_block block;
    fake.capacity_bytes = 64 * MIB;
    fake.complete_at_once = true;
    give(take(60 * MIB));
    block = isolate(48 * MIB);
    cr_assert_eq(pool_allocate_isolated(pool, 32 * MIB, 0, &block), -ENOMEM);
    check_pool();
    give(block.address);
    give(take(60 * MIB));
}

/* Nobody has asked the fence of the free since its work ended. */
Test(isolated, a_full_device_whose_work_has_ended, .fini = teardown)
{
    setup();
    fake.capacity_bytes = 64 * MIB;
    give(take(60 * MIB));
    fake_complete(&fake);
    fake.complete_at_once = true;
    give(isolate(48 * MIB).address);
}

/* A fence of just now is signalled a moment later only, also where the device is idle. */
Test(isolated, a_full_device_that_is_idle_a_moment_later, .fini = teardown)
{
    setup();
    fake.capacity_bytes = 64 * MIB;
    fake.complete_at_once = true;
    fake.late_queries = 5;
    give(take(60 * MIB));
    give(isolate(48 * MIB).address);
    cr_assert_eq(fake.hangs, 0);
}

/* A device that stays busy keeps free memory; the caller is refused, and does not hang. */
Test(isolated, a_full_device_that_stays_busy, .fini = teardown)
{
    struct pool_block block;

    setup();
    fake.capacity_bytes = 64 * MIB;
    fake_hold(&fake);
    give(take(60 * MIB));
    cr_assert_eq(pool_allocate_isolated(pool, 48 * MIB, 0, &block), -ENOMEM);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
}

Test(isolated, a_failure_at_any_call_leaves_nothing, .fini = teardown)
{
    struct pool_block block;

    setup();
    for (uint64_t call = 1;; call++) {
        fake.fail_at = fake.calls_total + call;
        fake.fail_error = -EIO;
        int error = pool_allocate_isolated(pool, 20 * MIB, 0, &block);
        bool reached = fake.calls_total >= fake.fail_at;
        fake.fail_at = 0;
        check_pool();
        if (error == 0)
            give(block.address);
        else
            cr_assert_eq(error, -EIO);
        check_pool();
        if (!reached)
            break;
    }
    struct pool_memory memory;
    pool_memory_get(pool, &memory);
    cr_assert_eq(memory.reserved_bytes, 0);
}

/* The same for the free: memory that could not be unmapped goes with a later one. */
Test(isolated, a_free_that_fails_half_way_is_made_up_for, .fini = teardown)
{
    setup();
    for (uint64_t call = 1; call < 12; call++) {
        struct pool_block block = isolate(20 * MIB);

        fake.fail_at = fake.calls_total + call;
        fake.fail_error = -EIO;
        cr_assert_eq(pool_free(block.address, 0, NULL), 0);
        fake.fail_at = 0;
        check_pool();
        give(isolate(MIB).address);
        size_t returned;
        cr_assert_eq(pool_trim(pool, 0, &returned), 0);
        check_pool();
        struct pool_memory memory;
        pool_memory_get(pool, &memory);
        cr_assert_eq(memory.reserved_bytes, 0, "call %llu", (unsigned long long)call);
    }
}

Test(isolated, a_course_of_both_kinds, .fini = teardown)
{
    enum { SLOTS = 40 };
    struct pool_block held[SLOTS] = {{0}};
    uint64_t state = 11;
    setup();
    fake.complete_at_once = true;
    fake.capacity_bytes = 512 * MIB;
    for (int step = 0; step < 4000; step++) {
        state = random_lcg(state);
        struct pool_block *slot = &held[(state >> 33) % SLOTS];
        size_t bytes = 1 + (state >> 20) % (9 * MIB);
        if (slot->address) {
            give(slot->address);
            slot->address = 0;
        } else if (state >> 63 ? pool_allocate_isolated(pool, bytes, 0, slot)
                               : pool_allocate(pool, bytes, 0, slot)) {
            slot->address = 0;
        } else if (slot->isolated) {
            assert_alone(slot);
        }
        if (step % 64 == 0)
            check_pool();
    }
    for (int at = 0; at < SLOTS; at++)
        if (held[at].address)
            give(held[at].address);
}

enum { THREADS = 4, ROUNDS = 25, ROUND_STEPS = 16 };
#define ISOLATED ((uint64_t)1)
static pthread_barrier_t round_over;
static _Atomic uint64_t handed[THREADS]; /* each frees what its neighbour has left there */

/* The addresses of an isolated block are not taken again soon: a second free is one. What the
 * threads free in a round is less than the pool remembers, an eighth of its addresses, so this
 * holds however long a thread stands between its two frees. */
static bool free_is_known(uint64_t tagged)
{
    uint64_t address = tagged & ~ISOLATED;

    return address == 0 || (pool_free(address, 0, NULL) == 0 &&
                            (!(tagged & ISOLATED) || pool_free(address, 0, NULL) == -EALREADY));
}

static void *both_kinds(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    struct pool_block block;
    char *wrong = NULL; /* the others wait for this thread, so it goes on */

    for (unsigned step = 0; step < ROUNDS * ROUND_STEPS; step++) {
        if (step % ROUND_STEPS == 0)
            pthread_barrier_wait(&round_over);
        size_t bytes = 1 + (step * 997 + self * 131) % (5 * MIB);
        int error = step % 4 == 3 ? pool_allocate(pool, bytes, 0, &block)
                                  : pool_allocate_isolated(pool, bytes, 0, &block);
        uint64_t mine = error ? 0 : block.address | (block.isolated ? ISOLATED : 0);
        if (!free_is_known(atomic_exchange(&handed[(self + 1) % THREADS], mine)))
            wrong = "freed twice, or not at all";
        if (step % 64 == self && pool_check(pool, NULL, 0) < 0)
            wrong = "an invariant is broken";
    }
    return wrong;
}

/* Blocks that others have taken are freed, while others still do the same. */
Test(isolated, several_threads, .fini = teardown)
{
    pthread_t threads[THREADS];
    void *wrong;

    setup();
    fake.complete_at_once = true;
    static_assert(THREADS * ROUND_STEPS * 9 * MIB < FAKE_RANGE_BYTES / MAPPED_FENCED_SHARE,
                  "with the addresses around it a block takes up to 9 MiB");
    cr_assert_eq(pthread_barrier_init(&round_over, NULL, THREADS), 0);
    for (uintptr_t at = 0; at < THREADS; at++)
        cr_assert_eq(pthread_create(&threads[at], NULL, both_kinds, (void *)at), 0);
    for (int at = 0; at < THREADS; at++) {
        cr_assert_eq(pthread_join(threads[at], &wrong), 0);
        cr_assert_null(wrong, "%s", (const char *)wrong);
    }
    for (int at = 0; at < THREADS; at++)
        cr_assert(free_is_known(handed[at]));
}

Test(isolated, the_drivers_allocations_have_none)
{
    struct pool_block block;

    fake_backing = POOL_BACKING_DRIVER;
    setup();
    cr_assert_eq(pool_allocate_isolated(pool, MIB, 0, &block), -ENOTSUP);
    teardown();
}
