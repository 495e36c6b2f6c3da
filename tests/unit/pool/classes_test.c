/* SPDX-License-Identifier: MIT */
/*
 * A pool with configured classes and slabs: the memory that small blocks occupy, blocks found by
 * address, and pools with other classes in the same process.
 */
#include "tests/unit/harness.h"
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/pool/fixture.h"

static const uint16_t own[] = {768, 1280, 9984};

static void own_classes(struct pool_config *config)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        config->class_bytes[i] = own[i];
    config->class_count = sizeof(own) / sizeof(own[0]);
}

static void bad_classes(struct pool_config *config)
{
    config->class_bytes[0] = 640; /* not a multiple of 256 */
    config->class_count = 1;
}

static void bad_slab(struct pool_config *config)
{
    config->slab_bytes = 96 << 10; /* not a multiple of 64 KiB */
}

static void huge_slab(struct pool_config *config)
{
    config->slab_bytes = 2 << 20; /* a whole segment */
}

static void small_slabs(struct pool_config *config)
{
    own_classes(config);
    config->slab_bytes = 64 << 10;
}

static void large_slabs(struct pool_config *config)
{
    own_classes(config);
    config->slab_bytes = 1 << 20;
}

static void own_setup(void)
{
    setup_with(own_classes);
}

static void small_slabs_setup(void)
{
    setup_with(small_slabs);
}

static void large_slabs_setup(void)
{
    setup_with(large_slabs);
}

static size_t occupied(size_t bytes)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (bytes <= own[i])
            return own[i];
    return (size_t)32 << 10;
}

/* Every address of a block finds it, and only its first one can be freed. */
static void block_check(const struct pool_block *block, size_t bytes)
{
    struct pool_block found;

    cr_assert_eq(block->allocated_bytes, occupied(bytes));
    cr_assert_eq(block->address % 256, 0);
    for (size_t offset = 0; offset < block->allocated_bytes; offset += 255) {
        cr_assert_eq(pool_find(block->address + offset, &found, NULL), 0);
        cr_assert_eq(found.address, block->address, "offset %zu of %zu", offset, bytes);
    }
    cr_assert_eq(pool_free(block->address + 256, 0, NULL), -EINVAL);
}

static void blocks_of_every_class(void)
{
    static const size_t sizes[] = {1, 520, 768, 769, 1040, 1280, 1281, 9984, 9985, 32768};

    enum { BLOCKS = 600 };
    struct pool_block *blocks = calloc(BLOCKS, sizeof(*blocks));
    for (unsigned i = 0; i < BLOCKS; i++)
        cr_assert_eq(pool_allocate(pool, sizes[i % 10], 0, &blocks[i]), 0);
    check_pool();
    for (unsigned i = 0; i < BLOCKS; i++)
        block_check(&blocks[i], sizes[i % 10]);
    for (unsigned i = 0; i < BLOCKS; i++)
        cr_assert_eq(pool_free(blocks[i].address, 0, NULL), 0);
    check_pool();
    free(blocks);
}

Test(classes, small_blocks_occupy_the_class_that_holds_them, .init = own_setup, .fini = teardown)
{
    blocks_of_every_class();
}

Test(classes, the_same_in_small_slabs, .init = small_slabs_setup, .fini = teardown)
{
    blocks_of_every_class();
}

Test(classes, the_same_in_large_slabs, .init = large_slabs_setup, .fini = teardown)
{
    blocks_of_every_class();
}

/* Slabs of both pools come from the same host memory, and go back to it. */
static void beside_another(void (*change)(struct pool_config *config))
{
    struct pool *other = fake_pool(&fake, change);
    struct pool_block mine[64], theirs[64];

    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 64; i++) {
            size_t bytes = 300 + 211 * i;

            cr_assert_eq(pool_allocate(pool, bytes, 0, &mine[i]), 0);
            cr_assert_eq(pool_allocate(other, bytes, 0, &theirs[i]), 0);
            block_check(&mine[i], bytes);
            cr_assert_eq(theirs[i].address % 512, 0);
            cr_assert(theirs[i].allocated_bytes - bytes < 512 || theirs[i].allocated_bytes > 8192);
        }
        for (unsigned i = 0; i < 64; i++) {
            cr_assert_eq(pool_free(theirs[i].address, 0, NULL), 0);
            cr_assert_eq(pool_free(mine[i].address, 0, NULL), 0);
        }
        check_pool();
    }
    pool_destroy(other, POOL_END_RETURN);
}

static void other_slabs(struct pool_config *config)
{
    config->slab_bytes = 320 << 10;
}

Test(classes, pools_with_other_classes_live_beside_it, .init = own_setup, .fini = teardown)
{
    beside_another(NULL);
}

Test(classes, pools_with_other_slabs_live_beside_it, .init = small_slabs_setup, .fini = teardown)
{
    beside_another(other_slabs);
    beside_another(NULL);
}

/* One block of each of 24 classes: most of their memory is empty space in slabs. */
static uint64_t reserved_by_few(void)
{
    for (unsigned size_class = 8; size_class < 32; size_class++)
        take((9 + size_class % 8) * 512u << (size_class / 8 - 1));
    check_pool();
    return statistics().reserved_bytes.current;
}

static void slabs_of_64_kib(struct pool_config *config)
{
    config->slab_bytes = 64 << 10;
}

Test(classes, small_slabs_hold_less_where_blocks_are_few, .fini = teardown)
{
    uint64_t reserved;

    setup();
    reserved = reserved_by_few();
    teardown();
    setup_with(slabs_of_64_kib);
    cr_assert_lt(reserved_by_few(), reserved);
}

Test(classes, bad_classes_are_refused, .init = setup, .fini = teardown)
{
    cr_assert_null(fake_pool(&fake, bad_classes));
    cr_assert_null(fake_pool(&fake, bad_slab));
    cr_assert_null(fake_pool(&fake, huge_slab));
}
