/* SPDX-License-Identifier: MIT */
/*
 * Memory that leaves the pool: exported segments, trimming, the child of a fork.
 */
#include "tests/unit/harness.h"
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/pool/fixture.h"

#define MIB ((size_t)1 << 20)

static struct pool_block take_block(size_t bytes)
{
    struct pool_block block;

    cr_assert_eq(pool_allocate(pool, bytes, 0, &block), 0);
    return block;
}

static bool in_segment(uint64_t address, const struct pool_block *block)
{
    return address >= block->segment_address &&
           address < block->segment_address + block->segment_bytes;
}

static void pin_and_watch(size_t bytes)
{
    fake.complete_at_once = true;
    struct pool_block pinned = take_block(bytes), neighbour = take_block(bytes);
    cr_assert_eq(pool_pin_segment(pinned.address + bytes / 2), 0);
    check_pool();
    for (int index = 0; index < 50; index++)
        cr_assert_not(in_segment(take(bytes), &pinned), "handed out from an exported segment");

    give(pinned.address);
    check_pool();
    if (neighbour.segment_address == pinned.segment_address || IS_MAPPED) {
        cr_assert_eq(pool_find(neighbour.address, NULL, NULL), 0, "its neighbour is still there");
        give(neighbour.address);
    }
    cr_assert_eq(pool_find(pinned.address, NULL, NULL), -ENOENT);
    cr_assert_eq(pool_free(pinned.address, 0, NULL), -ENOENT);
    cr_assert_geq(statistics().segment_frees, 1, "it went back at once");
}

Test(pin, a_small_block, .init = setup, .fini = teardown)
{
    pin_and_watch(1000);
}

Test(pin, a_middle_block, .init = setup, .fini = teardown)
{
    pin_and_watch(200000);
}

Test(pin, a_large_block, .init = setup, .fini = teardown)
{
    pin_and_watch(5000000);
}

Test(pin, a_quarantined_neighbour_does_not_keep_it, .init = setup, .fini = teardown)
{
    struct pool_block first = take_block(1000), second = take_block(70000);

    give(second.address);
    cr_assert_eq(pool_pin_segment(first.address), 0);
    give(first.address);
    cr_assert_eq(held_count(), IS_MAPPED, "with mapped memory the neighbour lies elsewhere");
}

Test(pin, during_capture_it_goes_back_later, .init = setup, .fini = teardown)
{
    struct pool_block block = take_block(1000);

    cr_assert_eq(pool_pin_segment(block.address), 0);
    fake.capturing = true;
    give(block.address);
    cr_assert_eq(held_count(), 1);
    fake.capturing = false;
    size_t returned;
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(held_count(), 0);
}

Test(pin, what_is_not_live_cannot_be_pinned, .init = setup, .fini = teardown)
{
    struct pool_block block = take_block(1000);

    cr_assert_eq(pool_pin_segment(0x1234), -ENOENT);
    give(block.address);
    cr_assert_eq(pool_pin_segment(block.address), -EINVAL);
}

static void pin_by_base(size_t bytes)
{
    fake.complete_at_once = true;
    struct pool_block first = take_block(bytes), second = take_block(bytes);
    cr_assert_eq(first.address, first.segment_address);
    cr_assert_eq(second.segment_address, first.segment_address);
    give(first.address);
    cr_assert_eq(pool_pin_segment(first.address + bytes / 2), -EINVAL, "not a base, not live");
    cr_assert_eq(pool_pin_segment(first.address), 0);
    check_pool();
    cr_assert_not(in_segment(take(bytes), &second), "handed out from an exported segment");
    give(second.address);
    cr_assert_eq(statistics().segment_frees, 1, "it went back at once");
}

Test(pin, by_its_base_while_another_small_block_lives, .init = setup, .fini = teardown)
{
    pin_by_base(1000);
}

#ifndef TEST_MAPPED /* there each block is an allocation of its own */
Test(pin, by_its_base_while_another_middle_block_lives, .init = setup, .fini = teardown)
{
    pin_by_base(200000);
}
#endif

Test(trim, keeps_what_it_was_told_to, .init = setup, .fini = teardown)
{
    uint64_t blocks[8];
    size_t returned;

    for (int index = 0; index < 8; index++)
        blocks[index] = take(4 * MIB);
    for (int index = 0; index < 8; index++)
        give(blocks[index]);
    cr_assert_eq(pool_trim(pool, 16 * MIB, &returned), 0);
    cr_assert_eq(returned, 16 * MIB);
    cr_assert_eq(statistics().cached_bytes.current, 16 * MIB);
    cr_assert_eq(statistics().returned_bytes, 16 * MIB);
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(returned, 16 * MIB);
    cr_assert_eq(statistics().reserved_bytes.current, 0);
}

Test(trim, leaves_live_blocks_alone, .init = setup, .fini = teardown)
{
    size_t returned;
    uint64_t live = take(5000);

    give(take(9 * MIB));
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(returned, IS_MAPPED ? 8 * MIB : 10 * MIB, "what shares a page stays");
    cr_assert_eq(statistics().reserved_bytes.current, 2 * MIB);
    cr_assert_eq(pool_find(live, NULL, NULL), 0);
}

static int child_main(uint64_t address, uint64_t calls)
{
    struct fake_backend device;
    struct pool_block block;

    pool_fork_child();
    if (pool_free(address, 0, NULL) != -ENOENT || pool_find(address, NULL, NULL) != -ENOENT)
        return 1;
    fake_init(&device);
    struct pool *own = fake_pool(&device, NULL);
    if (!own || pool_allocate(own, 5000, 0, &block) != 0)
        return 2;
    if (pool_free(block.address, 0, NULL) != 0 || pool_check(own, NULL, 0) != 0)
        return 3;
    pool_destroy(own, POOL_END_RETURN);
    return fake.calls_total == calls ? 0 : 4;
}

Test(fork, the_child_forgets_and_the_parent_goes_on, .init = setup, .fini = teardown)
{
    uint64_t address = take(1000), calls = fake.calls_total;
    int status = -1;

    pid_t child = fork();
    if (child == 0)
        _exit(child_main(address, calls));
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "the child found fault %d", WEXITSTATUS(status));
    give(address);
    take(1000);
}
