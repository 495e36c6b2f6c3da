/* SPDX-License-Identifier: MIT */
/*
 * A hundred thousand random operations against a shadow that keeps every block.
 *
 * The shadow holds live blocks in an array and freed ranges with the device's stamp at the free. It
 * asserts: no two live blocks overlap; no block is handed out over a range whose free has not been
 * followed by a completed fence; pool_find returns the requested size; the statistics add up.
 */
#include "tests/random.h"
#include "tests/unit/harness.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/pool/fixture.h"

#define LIVE_MAX    3000
#define OPERATIONS  100000
#define CHECK_EVERY 5000
#define GRAIN       512u

struct shadow_block {
    uint64_t address;
    size_t requested, allocated;
};

static struct shadow_block live[LIVE_MAX];
static size_t live_count;
static uint64_t live_bytes;

/* Per 512 bytes of the device's address space from 2^40: 0 free for use, 1 live, else the stamp at
 * the free plus 2. */
#define SPACE_BYTES ((uint64_t)16 << 30)
static uint64_t *space;

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state = random_xorshift(random_state);
    return random_state;
}

static uint64_t *grain_of(uint64_t address)
{
    uint64_t offset = address - (UINT64_C(1) << 40);

    cr_assert_lt(offset, SPACE_BYTES);
    return &space[offset / GRAIN];
}

static void grains_take(const struct pool_block *block)
{
    uint64_t completed = fake.completed;

    for (uint64_t *grain = grain_of(block->address), *end = grain + block->allocated_bytes / GRAIN;
         grain < end; grain++) {
        cr_assert_neq(*grain, 1, "handed out twice");
        cr_assert(*grain == 0 || completed >= *grain - 1,
                  "handed out before a fence after its free has completed");
        *grain = 1;
    }
}

static void grains_give(const struct shadow_block *block)
{
    uint64_t stamp = fake.stamp;

    for (uint64_t *grain = grain_of(block->address), *end = grain + block->allocated / GRAIN;
         grain < end; grain++)
        *grain = stamp + 2;
}

/* Nothing is unmapped that is live or that work submitted before its free may still use. */
static void grains_unmap(struct fake_backend *device, uint64_t address, uint64_t bytes)
{
    for (uint64_t *grain = grain_of(address), *end = grain + bytes / GRAIN; grain < end; grain++)
        cr_assert(*grain == 0 || (*grain != 1 && device->completed >= *grain - 1),
                  "unmapped before a fence after its free has completed");
}

static size_t random_size(void)
{
    uint64_t r = random_next();

    switch (r % 16) {
    case 0: return 1 + random_next() % ((size_t)24 << 20);
    case 1:
    case 2: return 1 + random_next() % (3 << 20);
    case 3:
    case 4:
    case 5: return 1 + random_next() % (256 << 10);
    case 6: return (size_t)1 << (random_next() % 24);
    default: return 1 + random_next() % (32 << 10);
    }
}

static void step_allocate(void)
{
    struct pool_block block;
    size_t bytes = random_size();
    uint32_t site = (uint32_t)random_next();
    int error = pool_allocate(pool, bytes, site, &block);

    cr_assert_eq(error, 0, "%zu bytes: %d", bytes, error);
    cr_assert_eq(block.address % 512, 0);
    cr_assert_geq(block.allocated_bytes, bytes);
    cr_assert(BACKING == POOL_BACKING_DRIVER ||
                  fake_accessible(&fake, block.address, block.allocated_bytes),
              "handed out where nothing is mapped");
    grains_take(&block);
    live[live_count++] = (struct shadow_block){block.address, bytes, block.allocated_bytes};
    live_bytes += bytes;

    struct pool_block found;
    cr_assert_eq(pool_find(block.address + bytes / 2, &found, NULL), 0);
    cr_assert_eq(found.address, block.address);
    cr_assert_eq(found.allocation_site, site);
}

static void step_free(void)
{
    size_t index = random_next() % live_count;
    struct shadow_block block = live[index];

    live[index] = live[--live_count];
    live_bytes -= block.requested;
    grains_give(&block);
    give(block.address);
}

static void step_other(void)
{
    size_t returned;

    switch (random_next() % 64) {
    case 0: cr_assert_eq(pool_trim(pool, random_next() % (64 << 20), &returned), 0); break;
    case 1: fake_complete(&fake); break;
    default:
        if (live_count > 0) {
            struct shadow_block *block = &live[random_next() % live_count];
            uint64_t inside = block->address + 1 + random_next() % (block->allocated - 1);

            cr_assert_eq(pool_free(inside, 0, NULL), -EINVAL, "an interior address was freed");
        }
    }
}

static void run_model(uint64_t seed)
{
    printf("seed %llu\n", (unsigned long long)seed);
    random_state = seed * 0x9E3779B97F4A7C15u | 1;
    space = calloc(SPACE_BYTES / GRAIN, sizeof(*space));
    cr_assert_not_null(space);
    fake.on_unmap = grains_unmap;
    for (int operation = 0; operation < OPERATIONS; operation++) {
        uint64_t r = random_next() % 100;
        bool growing = operation / 10000 % 2 == 0;

        if (r < 4)
            step_other();
        else if (live_count == 0 || (r < (growing ? 60u : 40u) && live_count < LIVE_MAX))
            step_allocate();
        else
            step_free();
        if (operation % CHECK_EVERY == 0) {
            check_pool();
            cr_assert_eq(statistics().live_requested_bytes.current, live_bytes);
            cr_assert_eq(statistics().live_blocks.current, live_count);
        }
    }
    while (live_count > 0)
        step_free();
    check_pool();
    cr_assert_eq(statistics().live_blocks.current, 0);
    size_t returned;
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(statistics().reserved_bytes.current, 0, "everything free goes back");
    fake.on_unmap = NULL;
    free(space);
}

static uint64_t seed_get(uint64_t fallback)
{
    const char *text = getenv("POOL_TEST_SEED");

    return text ? strtoull(text, NULL, 0) : fallback;
}

Test(model, deferred_with_fences_done_at_once, .init = setup, .fini = teardown)
{
    fake.complete_at_once = true;
    run_model(seed_get(1));
}

Test(model, deferred_with_late_fences, .init = setup, .fini = teardown)
{
    run_model(seed_get(2));
}

Test(model, deferred_without_events, .init = setup, .fini = teardown)
{
    fake.without_events = true;
    run_model(seed_get(3));
}

static void sync_reuse(struct pool_config *config)
{
    config->reuse = POOL_REUSE_SYNC;
}

Test(model, synchronous, .fini = teardown)
{
    setup_with(sync_reuse);
    run_model(seed_get(4));
}

static void small_bounds(struct pool_config *config)
{
    config->quarantine_max = 1 << 20;
    config->cache_max = 16 << 20;
    config->large_waste_percent = 0;
}

Test(model, small_bounds, .fini = teardown)
{
    setup_with(small_bounds);
    run_model(seed_get(5));
}

static void small_slabs(struct pool_config *config)
{
    config->slab_bytes = 64 << 10;
}

Test(model, small_slabs, .fini = teardown)
{
    setup_with(small_slabs);
    run_model(seed_get(6));
}

static void large_slabs(struct pool_config *config)
{
    config->slab_bytes = 1 << 20;
}

Test(model, large_slabs, .fini = teardown)
{
    setup_with(large_slabs);
    fake.complete_at_once = true;
    run_model(seed_get(7));
}
