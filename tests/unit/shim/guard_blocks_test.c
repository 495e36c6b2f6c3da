/* SPDX-License-Identifier: MIT */
/*
 * The tables of guarded blocks, against a plain model: freed memory counts as poison only until
 * any part is handed out again or goes back to the driver.
 */
#include <criterion/criterion.h>

#include "shim/guard/blocks.h"
#include "tests/random.h"

#define FIRST 512u /* a redzone in front of the program's address */

static uint64_t random_state = 3;

static uint32_t random_next(uint32_t most)
{
    random_state = random_lcg(random_state);
    return (uint32_t)(random_state >> 33) % most;
}

static struct guarded_block block_at(uint64_t begin, size_t bytes)
{
    return (struct guarded_block){
        .address = begin + FIRST, .allocated_bytes = bytes, .context = 1, .zoned = true};
}

static void free_all(void)
{
    struct guarded_block block;

    while (blocks_live_first())
        cr_assert(blocks_live_take(blocks_live_first()->block.address, &block));
    blocks_forget_context(1);
}

static unsigned untouched(void)
{
    unsigned count = 0;

    blocks_freed_examine();
    for (const struct guarded_node *node = blocks_freed_first(); node; node = node->next)
        count += node->untouched;
    return count;
}

Test(guard_blocks, live_blocks_come_and_go)
{
    struct guarded_block block = block_at(4096, 2048), taken;

    blocks_live_add(&block);
    cr_assert_not(blocks_live_take(4096, &taken));
    cr_assert(blocks_live_take(block.address, &taken));
    cr_assert_eq(taken.allocated_bytes, 2048);
    cr_assert_not(blocks_live_take(block.address, &taken));
    cr_assert_null(blocks_live_first());
}

Test(guard_blocks, freed_memory_that_is_handed_out_is_not_looked_at)
{
    for (int round = 0; round < 200; round++) {
        free_all();
        for (int at = 0; at < 40; at++) {
            struct guarded_block block = block_at(random_next(240) * UINT64_C(1024),
                                                  1024 * (size_t)(1 + random_next(16)));

            blocks_freed_add(&block);
        }
        for (int at = 0; at < 12; at++) {
            struct guarded_block block = block_at(random_next(250) * UINT64_C(1024),
                                                  1024 * (size_t)(1 + random_next(4)));

            blocks_live_add(&block);
        }
        blocks_freed_examine();
        for (const struct guarded_node *node = blocks_freed_first(); node; node = node->next) {
            bool any = false;

            for (const struct guarded_node *held = blocks_live_first(); held; held = held->next)
                any = any ||
                      (held->block.address < node->block.address + node->block.allocated_bytes &&
                       node->block.address < held->block.address + held->block.allocated_bytes);
            cr_assert_eq(node->untouched, !any);
        }
    }
}

Test(guard_blocks, nothing_is_known_after_the_driver_had_it)
{
    struct guarded_block block = block_at(0, 4096), taken;

    blocks_freed_add(&block);
    cr_assert_eq(untouched(), 1);
    blocks_freed_forget();
    cr_assert_eq(untouched(), 0);
    cr_assert_not(blocks_freed_take(block.address, &taken));
    blocks_freed_add(&block);
    cr_assert(blocks_freed_take(block.address, &taken));
    cr_assert_not(blocks_freed_take(block.address, &taken));
}

Test(guard_blocks, the_oldest_freed_blocks_are_forgotten)
{
    struct guarded_block taken;

    for (uint32_t at = 0; at < BLOCKS_FREED_MAX + 10; at++) {
        struct guarded_block block = block_at(at * UINT64_C(4096), 4096);

        blocks_freed_add(&block);
    }
    cr_assert_eq(untouched(), BLOCKS_FREED_MAX);
    cr_assert_not(blocks_freed_take(FIRST, &taken));
    cr_assert(blocks_freed_take(10 * 4096 + FIRST, &taken));
}

Test(guard_blocks, a_context_takes_its_blocks_along)
{
    struct guarded_block mine = block_at(0, 4096), other = block_at(8192, 4096), taken;

    other.context = 2;
    blocks_live_add(&mine);
    blocks_live_add(&other);
    blocks_freed_add(&mine);
    blocks_forget_context(1);
    cr_assert_not(blocks_live_take(mine.address, &taken));
    cr_assert(blocks_live_take(other.address, &taken));
    cr_assert_eq(untouched(), 0);
}
