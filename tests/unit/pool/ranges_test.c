/* SPDX-License-Identifier: MIT */
/*
 * Queries about a live block: its range, its id and its marks, for blocks of every kind, in holes
 * and beyond the end, and after the same memory was handed out again.
 */
#include "tests/unit/harness.h"
#include <errno.h>

#include "pool/heap/types.h"
#include "tests/unit/pool/fixture.h"

#define BLOCKS 300

static const size_t sizes[] = {1,     40,     512,     513,     5000,   32768,
                               32769, 100000, 2097152, 2097153, 9000001};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void expect_range(uint64_t address, uint64_t begin, size_t bytes)
{
    struct pool_block block;

    cr_assert_eq(pool_range_get(address, &block), 0);
    cr_assert_eq(block.address, begin);
    cr_assert_eq(block.requested_bytes, bytes);
}

static uint64_t id_of(uint64_t address)
{
    uint64_t id = 0;

    cr_assert_eq(pool_block_identify(address, &id), 0);
    cr_assert_neq(id, 0);
    return id;
}

static uint8_t marks_of(uint64_t address)
{
    struct pool_block block;

    cr_assert_eq(pool_range_get(address, &block), 0);
    return block.marks;
}

Test(ranges, of_every_size, .init = setup, .fini = teardown)
{
    struct pool_block block;

    for (size_t i = 0; i < SIZES; i++) {
        uint64_t first = take(sizes[i]), second = take(sizes[i]);

        for (size_t at = 0; at < sizes[i]; at += sizes[i] / 7 + 1)
            expect_range(second + at, second, sizes[i]);
        expect_range(first + sizes[i] - 1, first, sizes[i]);
        if (first + sizes[i] != second && sizes[i] % 512)
            cr_assert_eq(pool_range_get(first + sizes[i], &block), -EINVAL, "beyond the end");
        give(first);
        cr_assert_eq(pool_range_get(first, &block), -EINVAL, "freed");
        expect_range(second, second, sizes[i]);
        give(second);
    }
    cr_assert_eq(pool_range_get(1, &block), -ENOENT);
}

/* Frees settled later must not change the answers about live blocks. */
Test(ranges, stay_exact_beside_frees, .init = setup, .fini = teardown)
{
    uint64_t blocks[BLOCKS];

    fake.complete_at_once = true;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(i % 500 + 1);
    for (size_t round = 0; round < 10; round++) {
        for (size_t i = round % 3; i < BLOCKS; i += 3) {
            give(blocks[i]);
            blocks[i] = take((i + round) % 500 + 1);
            expect_range(blocks[i], blocks[i], (i + round) % 500 + 1);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++)
        give(blocks[i]);
}

Test(ids, stay_and_differ, .init = setup, .fini = teardown)
{
    uint64_t blocks[2 * SIZES], ids[2 * SIZES];

    for (size_t i = 0; i < 2 * SIZES; i++) {
        blocks[i] = take(sizes[i / 2]);
        ids[i] = id_of(blocks[i] + sizes[i / 2] / 2);
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(ids[i], ids[j]);
    }
    for (size_t i = 0; i < 2 * SIZES; i++) {
        cr_assert_eq(id_of(blocks[i]), ids[i]);
        give(blocks[i]);
        cr_assert_eq(pool_block_identify(blocks[i], &ids[i]), -ENOENT);
    }
}

static void end_with_the_block(size_t bytes)
{
    give(take(bytes)); /* the pool has grown */
    uint64_t address = take(bytes), id = id_of(address);
    uint8_t before = 99;

    cr_assert_eq(pool_block_mark(address + bytes / 2, 5, 0, &before), 0);
    cr_assert_eq(before, 0);
    cr_assert_eq(marks_of(address), 5);
    cr_assert_eq(pool_block_mark(address, 2, 1, &before), 0);
    cr_assert_eq(before, 5);
    cr_assert_eq(marks_of(address), 6);
    give(address);
    cr_assert_eq(pool_block_mark(address, 1, 0, NULL), -ENOENT);
    cr_assert_eq(take(bytes), address, "the same memory again");
    cr_assert_eq(marks_of(address), 0, "what a block was marked with ends with it");
    cr_assert_neq(id_of(address), id);
    give(address);
}

static void reuse_at_once(struct pool_config *config)
{
    config->reuse = POOL_REUSE_IMMEDIATE;
}

Test(ids, of_memory_handed_out_again)
{
    setup_with(reuse_at_once);
    for (size_t i = 0; i < SIZES; i++)
        end_with_the_block(sizes[i]);
    teardown();
}

/* Slabs come and go, and with them the memory that their ids took. */
Test(ids, give_their_memory_back, .init = setup, .fini = teardown)
{
    static uint64_t blocks[4000];
    uint64_t metadata[3];

    fake.complete_at_once = true;
    for (int round = 0; round < 3; round++) {
        size_t returned;

        for (size_t i = 0; i < 4000; i++) {
            blocks[i] = take(600);
            id_of(blocks[i]);
        }
        for (size_t i = 0; i < 4000; i++)
            give(blocks[i]);
        cr_assert_eq(pool_trim(pool, 0, &returned), 0);
        metadata[round] = statistics().metadata_bytes;
    }
    cr_assert_leq(metadata[2], metadata[1]);
}
