/* SPDX-License-Identifier: MIT */
/*
 * A pool with classes of its own: what small blocks occupy, that every address still finds its
 * block, and that pools with other classes live beside it.
 */
#include "tests/unit/pool/harness.h"
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

static void own_setup(void)
{
    setup_with(own_classes);
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

Test(classes, small_blocks_occupy_the_class_that_holds_them, .init = own_setup, .fini = teardown)
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

/* Slabs of both pools come from the same host memory, and go back to it. */
Test(classes, pools_with_other_classes_live_beside_it, .init = own_setup, .fini = teardown)
{
    struct pool *other = fake_pool(&fake, NULL);
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

Test(classes, bad_classes_are_refused, .init = setup, .fini = teardown)
{
    cr_assert_null(fake_pool(&fake, bad_classes));
}
