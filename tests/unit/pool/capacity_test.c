/* SPDX-License-Identifier: MIT */
/*
 * A small device and blocks of every size up to 4 MiB, or large blocks among small ones: where the
 * driver alone would serve the program, the pool does.
 */
#include "tests/unit/harness.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/pool/fixture.h"

#define MIB        ((size_t)1 << 20)
#define BLOCKS_MAX 20000

static struct {
    uint64_t address;
    size_t bytes;
} blocks[BLOCKS_MAX];
static size_t count;
static uint64_t live_bytes;

static size_t log_uniform(size_t least, size_t most)
{
    double span = log((double)most / (double)least);

    return (size_t)((double)least * exp(span * drand48()));
}

static size_t log_uniform_size(void)
{
    return log_uniform(256, 4 * MIB);
}

/* One block in five is large, as weights beside a cache. */
static size_t mixed_size(void)
{
    bool large = drand48() < 0.2;

    return large ? 4 * MIB + (size_t)(drand48() * 28 * MIB) : 256 + (size_t)(drand48() * 65280);
}

static void block_free(size_t index)
{
    give(blocks[index].address);
    live_bytes -= blocks[index].bytes;
    blocks[index] = blocks[--count];
}

/* Returns how many of the allocations failed. */
static unsigned churn(unsigned allocations, size_t (*size)(void), uint64_t live_most)
{
    unsigned failed = 0;

    for (unsigned step = 0; step < allocations; step++) {
        size_t bytes = size();

        while (live_bytes + bytes > live_most)
            block_free((size_t)(drand48() * (double)count));
        struct pool_block block;
        if (pool_allocate(pool, bytes, 0, &block) < 0) {
            failed++;
            continue;
        }
        blocks[count].address = block.address;
        blocks[count++].bytes = bytes;
        live_bytes += bytes;
    }
    return failed;
}

static void course(long seed, unsigned allocations, size_t (*size)(void), uint64_t capacity,
                   uint64_t live_most)
{
    setup();
    fake.capacity_bytes = capacity;
    fake.complete_at_once = true;
    srand48(seed);
    count = 0;
    live_bytes = 0;
    unsigned failed = churn(allocations, size, live_most);
    struct pool_statistics figures = statistics();
    printf("seed %ld: failed %u; live %llu MiB, reserved at most %llu MiB\n", seed, failed,
           (unsigned long long)live_bytes >> 20,
           (unsigned long long)figures.reserved_bytes.peak >> 20);
    cr_assert_eq(failed, 0, "seed %ld: %u of %u", seed, failed, allocations);
    check_pool();
    while (count > 0)
        block_free(count - 1);
    teardown();
}

Test(capacity, blocks_up_to_4_mib_on_a_device_of_1_gib)
{
    for (long seed = 1; seed <= 5; seed++)
        course(seed, 5000, log_uniform_size, 1024 * MIB, 600 * MIB);
}

/* When memory is short, middle blocks use any row of enough free leaves, large ones runs that fit
 * exactly, and small ones cut no run that a large one could use. */
Test(capacity, a_device_of_1_gib_nearly_full)
{
    for (long seed = 1; seed <= 5; seed++)
        course(seed, 5000, log_uniform_size, 1024 * MIB, 700 * MIB);
}

Test(capacity, large_blocks_among_small_ones_on_a_device_nearly_full)
{
    for (long seed = 1; seed <= 5; seed++)
        course(seed, 5000, mixed_size, 1024 * MIB, 930 * MIB);
}
