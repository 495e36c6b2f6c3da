/* SPDX-License-Identifier: MIT */
/*
 * Set-up and tear-down of most tests: a fake device, a pool on it, and a check that the pool kept
 * its invariants, broke no contract of the backend and left no segment behind.
 */
#ifndef TESTS_UNIT_POOL_FIXTURE_H
#define TESTS_UNIT_POOL_FIXTURE_H

#include "tests/unit/harness.h"

#include "pool/pool.h"
#include "tests/unit/pool/fake_backend.h"

/* The same test is built once for each backing. */
#ifdef TEST_MAPPED
#define BACKING POOL_BACKING_MAPPED
#else
#define BACKING POOL_BACKING_DRIVER
#endif

#define IS_MAPPED (BACKING == POOL_BACKING_MAPPED)

static struct fake_backend fake;
static struct pool *pool;
static size_t things_before; /* of fake_segments_live(), when the pool was made: its range */

__attribute__((constructor)) static void backing_choose(void)
{
    fake_backing = BACKING;
}

static inline void setup_with(void (*change)(struct pool_config *config))
{
    fake_init(&fake);
    pool = fake_pool(&fake, change);
    cr_assert_not_null(pool);
    things_before = fake_segments_live(&fake);
}

static inline void setup(void)
{
    setup_with(NULL);
}

static inline void check_pool(void)
{
    char why[128] = "";

    cr_assert_eq(pool_check(pool, why, sizeof(why)), 0, "%s", why);
}

static inline struct pool_statistics statistics(void)
{
    struct pool_statistics snapshot;

    pool_statistics_get(pool, &snapshot);
    return snapshot;
}

static inline void teardown(void)
{
    check_pool();
    pool_destroy(pool, POOL_END_RETURN);
    cr_assert_eq(fake_segments_live(&fake), 0, "segments left behind");
    cr_assert_eq(fake.fences_live, 0, "fences left behind");
    cr_assert_eq(fake.errors, 0, "contract of the backend broken");
    fake_done(&fake);
}

/** Driver allocations, or handles, that the pool holds. */
static inline size_t held_count(void)
{
    return fake_segments_live(&fake) - things_before;
}

/** Allocates or fails the test. */
static inline uint64_t take(size_t bytes)
{
    struct pool_block block;
    int error = pool_allocate(pool, bytes, 0, &block);

    cr_assert_eq(error, 0, "allocation of %zu bytes: %d", bytes, error);
    return block.address;
}

static inline void give(uint64_t address)
{
    int error = pool_free(address, 0, NULL);

    cr_assert_eq(error, 0, "free of %#llx: %d", (unsigned long long)address, error);
}

#endif
