/* SPDX-License-Identifier: MIT */
/*
 * Peaks that are left for good, and those that are not, by levels alone.
 */
#include <criterion/criterion.h>
#include <stddef.h>

#include "tools/analysis/series/aftermath.h"

#define MIB (UINT64_C(1) << 20)

/** Levels in MiB; a rise is an allocation. Ends with -1. */
static struct aftermath levels_of(const int *level)
{
    struct aftermath aftermath = {0};
    struct timeline_point now = {0};

    for (; *level >= 0; level++) {
        uint64_t bytes = (uint64_t)*level * MIB;

        now.time_ns++;
        now.allocations += bytes > now.requested_bytes;
        now.frees += bytes < now.requested_bytes;
        now.requested_bytes = bytes;
        aftermath_add(&aftermath, &now);
    }
    return aftermath;
}

#define LEVELS(...) levels_of((const int[]){__VA_ARGS__, -1})

Test(aftermath, of_a_load)
{
    struct aftermath after = LEVELS(50, 100, 60, 40, 45, 40, 45, 40);

    cr_expect(aftermath_is_short(&after));
    cr_expect_eq(after.highest.requested_bytes, 45 * MIB);
    cr_expect_eq(after.lowest.requested_bytes, 40 * MIB);
}

Test(aftermath, of_a_fall_with_allocations_in_it)
{
    struct aftermath after = LEVELS(100, 89, 90, 80, 81, 70, 71, 50, 51, 30, 32, 30, 32, 30);

    cr_expect(aftermath_is_short(&after));
    cr_expect_eq(after.highest.requested_bytes, 32 * MIB);
}

Test(aftermath, of_a_slow_decline_is_what_was_used_longest)
{
    struct aftermath after = LEVELS(100, 60, 61, 60, 61, 60, 61, 60, 61, 60, 10);

    cr_expect(aftermath_is_short(&after));
    cr_expect_eq(after.highest.requested_bytes, 61 * MIB);
}

Test(aftermath, of_a_peak_that_comes_again)
{
    struct aftermath again = LEVELS(100, 40, 95, 40), before = LEVELS(95, 40, 100, 40),
                     by_and_by = LEVELS(95, 40, 96, 90, 100, 40),
                     never_left = LEVELS(100, 88, 89, 88), small = LEVELS(20, 5, 100, 40);

    cr_expect(!aftermath_is_short(&again));
    cr_expect(!aftermath_is_short(&before));
    cr_expect(!aftermath_is_short(&by_and_by));
    cr_expect(!aftermath_is_short(&never_left));
    cr_expect(aftermath_is_short(&small), "an earlier rise that is not near");
}

Test(aftermath, of_a_peak_at_the_end)
{
    struct aftermath end = LEVELS(10, 100), nothing = LEVELS(100, 0);

    cr_expect(!aftermath_is_short(&end));
    cr_expect(!aftermath_is_short(&nothing));
}
