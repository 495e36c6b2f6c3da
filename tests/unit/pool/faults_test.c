/* SPDX-License-Identifier: MIT */
/*
 * Every call of the backend fails once, at every position, with every error: afterwards the pool is
 * sound, goes on working and gives everything back.
 */
#include "tests/unit/harness.h"
#include <errno.h>
#include <stdio.h>

#include "tests/unit/pool/fixture.h"

#define MIB ((size_t)1 << 20)

#define LIMIT_BYTES (48 * MIB)

static void tight(struct pool_config *config)
{
    config->quarantine_max = 2 * MIB;
    config->limit_bytes = LIMIT_BYTES;
    config->cache_max = 16 * MIB;
    config->scrub = POOL_FILL_ZERO;
}

/* Memory that the pool may hold beyond live memory: slabs, half-used segments, small blocks that
 * got a page of their own near the limit, and quarantined memory without a fence. */
#define SLACK_BYTES (8 * MIB)

/* A fixed program that tolerates failures; returns how many allocations failed that had room. */
static unsigned program_run(void)
{
    static const size_t sizes[] = {700,      30000,   5 * MIB, 90000, 512,
                                   20 * MIB, 1 * MIB, 7 * MIB, 4096,  300000};
    uint64_t held[24] = {0};
    unsigned failed = 0;

    for (int step = 0; step < 240; step++) {
        uint64_t *slot = &held[step * 5 % 24];
        struct pool_block block;
        size_t returned;

        if (*slot != 0)
            give(*slot);
        *slot = 0;
        if (pool_allocate(pool, sizes[step * 7 % 10], 0, &block) == 0)
            *slot = block.address;
        else if (statistics().live_allocated_bytes.current + sizes[step * 7 % 10] + SLACK_BYTES <=
                 LIMIT_BYTES)
            failed++;
        if (step % 60 == 59)
            pool_trim(pool, 4 * MIB, &returned);
    }
    for (int slot = 0; slot < 24; slot++) {
        if (held[slot] != 0)
            give(held[slot]);
    }
    return failed;
}

static bool position_try(uint64_t position, int error)
{
    setup_with(tight);
    fake.fail_at = position;
    fake.fail_error = error;
    unsigned failed = program_run();
    check_pool();
    bool reached = fake.calls_total >= position;
    cr_assert_leq(failed, 1, "one fault at call %llu failed %u allocations",
                  (unsigned long long)position, failed);
    cr_assert_eq(statistics().live_blocks.current, 0);

    fake.fail_at = 0;
    take(700);
    size_t returned;
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(statistics().quarantined_bytes.current, 0);
    teardown();
    return reached;
}

static void positions_try(int error)
{
    setup_with(tight);
    cr_assert_eq(program_run(), 0);
    teardown();
    uint64_t position = 1;
    while (position_try(position, error))
        position++;
    cr_assert_gt(position, 100, "the program makes enough calls to be worth it");
    printf("%llu positions\n", (unsigned long long)position - 1);
}

Test(faults, out_of_memory_at_every_call)
{
    positions_try(-ENOMEM);
}

Test(faults, not_permitted_at_every_call)
{
    positions_try(-EPERM);
}

Test(faults, broken_context_at_every_call)
{
    positions_try(-EIO);
}

Test(faults, busy_at_every_call)
{
    positions_try(-EBUSY);
}
