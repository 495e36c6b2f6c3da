/* SPDX-License-Identifier: MIT */
/*
 * Mapped memory as the pool's backing: free memory that lies scattered serves, goes back, is
 * defragmented; exported memory stays; nothing is unmapped under running work. After every
 * step of a random course the pool is checked as a whole.
 */
#include "tests/random.h"
#include "tests/unit/harness.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define TEST_MAPPED
#include "tests/unit/pool/fixture.h"

#define MIB ((size_t)1 << 20)

static void pages_of_2_mib(struct pool_config *config)
{
    config->page_bytes = 2 * MIB;
}

static bool moving;

static void large_handles(struct pool_config *config)
{
    config->page_bytes = 8 * MIB;
    config->move = moving;
}

static struct pool_memory memory(void)
{
    struct pool_memory snapshot;

    pool_memory_get(pool, &snapshot);
    cr_assert_eq(snapshot.live_bytes + snapshot.quarantined_bytes + snapshot.free_bytes +
                     snapshot.waste_bytes,
                 snapshot.reserved_bytes);
    cr_assert_eq(snapshot.range_bytes - snapshot.hole_bytes, snapshot.reserved_bytes);
    return snapshot;
}

/* Every other one of `count` blocks is free. */
static void scatter(uint64_t *blocks, int count, size_t bytes)
{
    for (int index = 0; index < count; index++)
        blocks[index] = take(bytes);
    for (int index = 0; index < count; index += 2)
        give(blocks[index]);
}

Test(backing, scattered_memory_serves_a_large_block, .fini = teardown)
{
    uint64_t blocks[16];

    setup_with(pages_of_2_mib);
    fake.capacity_bytes = 128 * MIB;
    fake.complete_at_once = true;
    scatter(blocks, 16, 8 * MIB);
    uint64_t large = take(64 * MIB);
    cr_assert(fake_accessible(&fake, large, 64 * MIB));
    cr_assert_leq(fake.peak_bytes, 128 * MIB);
    cr_assert_eq(statistics().failures, 0);
    cr_assert_gt(statistics().stitched_bytes, 48 * MIB);
    cr_assert_eq(memory().stitched_bytes, statistics().stitched_bytes);
    for (int index = 1; index < 16; index += 2)
        cr_assert(fake_accessible(&fake, blocks[index], 8 * MIB), "what is live stays");
}

static size_t allocated(size_t bytes)
{
    struct pool_block block;

    cr_assert_eq(pool_allocate(pool, bytes, 0, &block), 0);
    return block.allocated_bytes;
}

/* One block of each of many sizes: a slab for each would stand nearly empty. */
Test(backing, odd_sizes_from_4_kib_on_share_a_page, .fini = teardown)
{
    setup_with(pages_of_2_mib);
    cr_assert_eq(allocated(4000), 4096, "of a slab");
    uint64_t before = memory().reserved_bytes;
    for (size_t bytes = 4097; bytes <= 32768; bytes += 1000)
        cr_assert_eq(allocated(bytes), (bytes + 511) / 512 * 512);
    cr_assert_eq(memory().reserved_bytes, before + 2 * MIB);
}

Test(backing, a_class_that_is_in_demand_gets_slabs, .fini = teardown)
{
    uint64_t blocks[64];

    setup_with(pages_of_2_mib);
    fake.complete_at_once = true;
    for (int round = 0; round < 2; round++) {
        size_t returned, first = 0, last = 0;

        for (int index = 0; index < 64; index++) {
            struct pool_block block;

            cr_assert_eq(pool_allocate(pool, 18500, 0, &block), 0);
            blocks[index] = block.address;
            last = block.allocated_bytes;
            first = index == 0 ? last : first;
        }
        cr_assert_eq(first, 18944, "an extent");
        cr_assert_eq(last, 20480, "of a slab");
        for (int index = 0; index < 64; index++)
            give(blocks[index]);
        cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    }
}

/* On a full device the space beside small blocks serves rare sizes, too. */
Test(backing, odd_sizes_take_what_segments_have_left, .fini = teardown)
{
    struct pool_block block;

    setup_with(pages_of_2_mib);
    fake.complete_at_once = true;
    fake.capacity_bytes = 32 * MIB;
    take(4096);
    while (pool_allocate(pool, MIB, 0, &block) == 0)
        ;
    while (pool_allocate(pool, 40 << 10, 0, &block) == 0)
        ;
    for (int count = 0; count < 16; count++)
        take(30000);
}

static void two_classes(struct pool_config *config)
{
    pages_of_2_mib(config);
    config->class_bytes[0] = 512;
    config->class_bytes[1] = 20480;
    config->class_count = 2;
}

Test(backing, classes_that_were_asked_for_are_kept, .fini = teardown)
{
    setup_with(two_classes);
    cr_assert_eq(allocated(17000), 20480);
}

Test(backing, memory_grows_by_whole_handles, .fini = teardown)
{
    setup_with(large_handles);
    take(12 * MIB);
    take(10 * MIB);
    cr_assert_eq(memory().reserved_bytes, 28 * MIB, "8 and 4, then twice 8");
    unsigned calls = fake.calls[FAKE_PAGE_CREATE];
    take(6 * MIB);
    cr_assert_eq(fake.calls[FAKE_PAGE_CREATE], calls);
}

Test(backing, a_small_device_gets_small_handles, .fini = teardown)
{
    setup_with(large_handles);
    fake.capacity_bytes = 4096 * MIB;
    pool_destroy(pool, POOL_END_RETURN);
    pool = fake_pool(&fake, large_handles);
    take(16 * MIB);
    cr_assert_eq(fake.calls[FAKE_PAGE_CREATE], 8);
}

/* A large gap is filled with free memory before the ceiling of small ones is reached. */
Test(backing, a_large_gap_is_stitched_sooner, .fini = teardown)
{
    uint64_t blocks[32];

    setup_with(pages_of_2_mib);
    fake.complete_at_once = true;
    for (int index = 0; index < 32; index++)
        blocks[index] = take(16 * MIB);
    if (memory().free_bytes > 0)
        take(memory().free_bytes);
    for (int index = 0; index < 32; index += 2)
        give(blocks[index]);
    uint64_t before = memory().reserved_bytes;
    take(before / 20);
    cr_assert_eq(statistics().stitches, 1);
    cr_assert_eq(memory().reserved_bytes, before);
}

/* So that the next block is not placed beside memory about to be free. */
Test(backing, frees_are_fenced_sooner_where_little_is_left, .fini = teardown)
{
    uint64_t blocks[4];

    setup_with(pages_of_2_mib);
    fake.capacity_bytes = 1024 * MIB;
    pool_destroy(pool, POOL_END_RETURN);
    pool = fake_pool(&fake, pages_of_2_mib);
    for (int index = 0; index < 4; index++)
        blocks[index] = take(MIB / 4);
    for (int index = 0; index < 4; index++)
        give(blocks[index]);
    cr_assert_gt(fake.calls[FAKE_FENCE_RECORD], 0);
}

/* Scattered blocks that wait for work: they are waited for, not unmapped under it. */
static uint64_t forbidden[8], forbidden_bytes, may_unmap_at;

static void watch(struct fake_backend *device, uint64_t address, uint64_t bytes)
{
    for (int index = 0; index < 8; index++)
        if (forbidden[index] < address + bytes && address < forbidden[index] + forbidden_bytes)
            cr_assert_geq(device->completed, may_unmap_at, "unmapped under running work");
}

Test(backing, nothing_is_unmapped_under_running_work, .fini = teardown)
{
    uint64_t blocks[16];

    setup_with(pages_of_2_mib);
    fake.capacity_bytes = 128 * MIB;
    for (int index = 0; index < 16; index++)
        blocks[index] = take(8 * MIB);
    for (int index = 0; index < 16; index += 2) {
        forbidden[index / 2] = blocks[index];
        give(blocks[index]);
    }
    forbidden_bytes = 8 * MIB;
    may_unmap_at = fake.stamp;
    fake.on_unmap = watch;
    take(64 * MIB);
    cr_assert_gt(statistics().stitches, 0);
    fake.on_unmap = NULL;
}

/* While the device is busy and gives more, nothing is unmapped: that might wait. */
Test(backing, a_busy_device_is_asked_for_more_instead, .fini = teardown)
{
    uint64_t blocks[16];

    setup_with(pages_of_2_mib);
    fake.complete_at_once = true;
    scatter(blocks, 16, 8 * MIB);
    fake_hold(&fake);
    take(64 * MIB);
    cr_assert_eq(statistics().stitches, 0);
    cr_assert_eq(fake.calls[FAKE_PAGE_UNMAP], 0);
    cr_assert_eq(fake.hangs, 0);
    fake_release(&fake);
}

Test(backing, whole_handles_go_back, .fini = teardown)
{
    uint64_t blocks[16];
    size_t returned;

    setup_with(pages_of_2_mib);
    scatter(blocks, 16, 8 * MIB);
    uint64_t before = memory().reserved_bytes;
    cr_assert_eq(pool_trim(pool, 32 * MIB, &returned), 0);
    cr_assert_leq(memory().free_bytes, 32 * MIB);
    cr_assert_eq(before - memory().reserved_bytes, returned);
    cr_assert_eq(fake.used_bytes, memory().reserved_bytes);
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(memory().returnable_bytes, 0);
    cr_assert_eq(memory().reserved_bytes, 64 * MIB);
    cr_assert_gt(memory().holes, 1);
    for (int index = 1; index < 16; index += 2)
        give(blocks[index]);
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(memory().reserved_bytes, 0);
    cr_assert_eq(memory().holes, 1);
}

Test(backing, free_memory_is_brought_together, .fini = teardown)
{
    uint64_t blocks[16], moved;

    setup_with(pages_of_2_mib);
    scatter(blocks, 16, 8 * MIB);
    cr_assert_eq(pool_defragment(pool, &moved), 0);
    cr_assert_gt(moved, 0);
    cr_assert_geq(memory().largest_free_bytes, 64 * MIB);
    cr_assert_eq(memory().reserved_bytes, 128 * MIB, "nothing new, nothing given back");
    check_pool();
    uint64_t calls = fake.calls[FAKE_PAGE_MAP];
    take(64 * MIB);
    cr_assert_eq(fake.calls[FAKE_PAGE_MAP], calls, "one piece by now");
    cr_assert_eq(pool_defragment(pool, &moved), 0);
    cr_assert_eq(moved, 0);
}

/* ---- how the range is made ---- */

static void without_fallback(struct pool_config *config)
{
    config->range_bytes = (uint64_t)64 << 30;
}

static int create(void (*change)(struct pool_config *config), struct pool **ret_pool)
{
    struct pool_config config;
    struct pool_backend backend = fake_backend(&fake);

    pool_config_init(&config);
    config.backing = POOL_BACKING_MAPPED;
    if (change)
        change(&config);
    return pool_create(&config, &backend, ret_pool);
}

Test(backing, a_smaller_range_will_do)
{
    fake_init(&fake);
    fake.capacity_bytes = 1024 * MIB;
    fake.range_most = (uint64_t)3 << 30;
    cr_assert_eq(create(without_fallback, &pool), 0);
    struct pool_memory snapshot;
    pool_memory_get(pool, &snapshot);
    cr_assert_eq(snapshot.range_bytes, (uint64_t)2 << 30);
    take(100 * MIB);
    teardown();
}

Test(backing, without_addresses_there_is_none)
{
    fake_init(&fake);
    fake.capacity_bytes = 1024 * MIB;
    fake.range_most = 512 * MIB;
    cr_assert_eq(create(NULL, &pool), -ENOTSUP);
    fake.without_pages = true;
    fake.range_most = 0;
    cr_assert_eq(create(NULL, &pool), -ENOTSUP);
    cr_assert_eq(fake_segments_live(&fake), 0);
    fake.without_pages = false;
    fake.fail_at = fake.calls_total + 1;
    fake.fail_error = -EIO;
    cr_assert_eq(create(NULL, &pool), -EIO);
    cr_assert_eq(fake_segments_live(&fake), 0);
}

static void bad_page(struct pool_config *config)
{
    config->page_bytes = 3 * MIB;
}

static void small_page(struct pool_config *config)
{
    config->page_bytes = MIB;
}

Test(backing, bad_pages_are_refused)
{
    fake_init(&fake);
    cr_assert_eq(create(bad_page, &pool), -EINVAL);
    cr_assert_eq(create(small_page, &pool), -EINVAL);
}

static void reserving(struct pool_config *config)
{
    config->reserve_bytes = 256 * MIB;
}

Test(backing, what_is_reserved_is_there_at_once_and_stays, .fini = teardown)
{
    size_t returned;

    setup_with(reserving);
    cr_assert_eq(memory().reserved_bytes, 256 * MIB);
    uint64_t calls = fake.calls[FAKE_PAGE_CREATE];
    cr_assert_eq(calls, 1, "in one handle");
    uint64_t block = take(200 * MIB);
    give(block);
    take(40000);
    take(40000);
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(returned, 0);
    cr_assert_eq(memory().reserved_bytes, 256 * MIB);
    cr_assert_eq(fake.calls[FAKE_PAGE_CREATE], calls);
}

/* ---- a random course, checked at every step ---- */

#define SLOTS 60

static void step_allocate(uint64_t *slot, uint64_t random)
{
    static const size_t most[] = {4 << 10, 60 << 10, 3 << 20, 24 << 20};
    struct pool_block block;

    if (pool_allocate(pool, 1 + random / 8 % most[random % 4], 0, &block) < 0)
        return;
    *slot = block.address;
    cr_assert(fake_accessible(&fake, block.address, block.allocated_bytes));
}

static void step_other(uint64_t *slot, uint64_t random)
{
    uint64_t moved;
    size_t returned;

    switch (random % 8) {
    case 0: pool_trim(pool, random / 8 % (64 * MIB), &returned); break;
    case 1: pool_defragment(pool, &moved); break;
    case 2: fake_complete(&fake); break;
    case 3: fake.capturing = !fake.capturing; break;
    case 4:
        if (*slot != 0)
            cr_assert_eq(pool_pin_segment(*slot), 0);
        break;
    default: break;
    }
}

static void course(unsigned seed, uint64_t fail_at)
{
    uint64_t slots[SLOTS] = {0};

    fake.capacity_bytes = 160 * MIB;
    fake.fail_at = fail_at;
    fake.fail_error = -EIO;
    srandom(seed);
    for (int step = 0; step < 3000; step++) {
        uint64_t *slot = &slots[random() % SLOTS], r = (uint64_t)random();

        if (random() % 16 == 0) {
            step_other(slot, r);
        } else if (*slot != 0) {
            give(*slot);
            *slot = 0;
        } else {
            step_allocate(slot, r);
        }
        check_pool();
    }
    fake.capturing = false;
    for (int index = 0; index < SLOTS; index++)
        if (slots[index] != 0)
            give(slots[index]);
    size_t returned;
    fake.fail_at = 0;
    cr_assert_eq(pool_trim(pool, 0, &returned), 0);
    cr_assert_eq(memory().reserved_bytes, 0, "seed %u, call %llu", seed,
                 (unsigned long long)fail_at);
}

Test(backing, a_random_course_is_sound_at_every_step)
{
    moving = true;
    for (unsigned seed = 1; seed <= 6; seed++) {
        setup_with(seed % 3 == 0 ? pages_of_2_mib : seed % 3 == 1 ? large_handles : NULL);
        course(seed, 0);
        teardown();
    }
}

Test(backing, a_failing_call_in_a_random_course_is_undone)
{
    for (uint64_t fail_at = 3; fail_at < 600; fail_at += 29) {
        setup_with(pages_of_2_mib);
        course(7, fail_at);
        teardown();
    }
}

/* ---- without a request ---- */

static void trimming_when_idle(struct pool_config *config)
{
    config->idle_trim_ns = 1000000;
}

Test(backing, what_is_free_goes_back_when_nothing_is_allocated, .fini = teardown)
{
    setup_with(trimming_when_idle);
    fake.complete_at_once = true;
    uint64_t kept = take(5 * MIB);
    give(take(40 * MIB));
    cr_assert_eq(pool_idle_trim(pool), 0, "the first look");
    cr_assert_eq(pool_idle_trim(pool), 0, "not long enough ago");
    fake.clock_ns += 2000000;
    take(40000);
    cr_assert_eq(pool_idle_trim(pool), 0, "there was an allocation since");
    fake.clock_ns += 2000000;
    fake_hold(&fake);
    cr_assert_eq(pool_idle_trim(pool), 0, "the device is busy");
    fake_release(&fake);
    cr_assert_geq(pool_idle_trim(pool), 32 * MIB);
    cr_assert(fake_accessible(&fake, kept, 5 * MIB));
    check_pool();
}

static void one_stream(struct pool_config *config)
{
    config->reuse = POOL_REUSE_IMMEDIATE;
    config->page_bytes = 2 * MIB;
}

static void never(struct fake_backend *device, uint64_t address, uint64_t bytes)
{
    cr_assert_eq(device->held_at, 0, "unmapped while a kernel may use it");
}

/* The stream that orders reuse does not order mappings. */
Test(backing, what_one_stream_has_freed_is_not_unmapped_under_it, .fini = teardown)
{
    uint64_t blocks[16], moved;
    size_t returned;

    setup_with(one_stream);
    fake.capacity_bytes = 128 * MIB;
    fake.on_unmap = never;
    for (int index = 0; index < 16; index++)
        blocks[index] = take(8 * MIB);
    cr_assert_eq(pool_pin_segment(blocks[2]), 0);
    fake_hold(&fake);
    for (int index = 0; index < 16; index += 2)
        give(blocks[index]);
    struct pool_block block;
    for (int capturing = 0; capturing < 2; capturing++) {
        fake.capturing = capturing;
        cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), -ENOMEM);
        cr_assert_eq(pool_trim(pool, 0, &returned), 0);
        cr_assert_eq(pool_defragment(pool, &moved), 0);
        cr_assert_eq(moved, 0);
    }
    cr_assert_eq(pool_allocate(pool, 8 * MIB, 0, &block), 0, "but it is handed out again");
    fake.capturing = false;
    fake_release(&fake);
    cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), 0);
    fake.on_unmap = NULL;
}

/* ---- breaking ---- */

/* Each handle of 8 MiB keeps one block of 2 MiB: no whole one is free, three quarters are. */
static void quarters(uint64_t *kept)
{
    uint64_t others[16][3];

    setup_with(large_handles);
    fake.complete_at_once = true;
    give(take(128 * MIB));
    for (int index = 0; index < 16; index++) {
        for (int other = 0; other < 3; other++) {
            if (other == index % 3) /* not always the first page */
                kept[index] = take(2 * MIB);
            others[index][other] = take(2 * MIB);
        }
    }
    for (int index = 0; index < 16; index++) {
        fake_tag_set(&fake, kept[index], 1000 + (uint64_t)index);
        for (int other = 0; other < 3; other++)
            give(others[index][other]);
    }
    size_t returned;
    cr_assert_eq(pool_trim(pool, SIZE_MAX, &returned), 0);
    fake.capacity_bytes = fake.used_bytes + 2 * MIB;
}

static void kept_check(const uint64_t *kept)
{
    for (int index = 0; index < 16; index++) {
        cr_assert(fake_accessible(&fake, kept[index], 2 * MIB));
        cr_assert_eq(fake_tag_get(&fake, kept[index]), 1000 + (uint64_t)index, "block %d", index);
    }
    check_pool();
}

Test(backing, a_handle_in_use_is_broken_where_that_is_allowed)
{
    uint64_t kept[16];
    struct pool_block block;

    for (int allowed = 0; allowed < 2; allowed++) {
        moving = allowed;
        quarters(kept);
        cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), allowed ? 0 : -ENOMEM);
        cr_assert_eq(statistics().breaks > 0, allowed);
        cr_assert_eq(memory().broken_bytes, statistics().broken_bytes);
        kept_check(kept);
        teardown();
    }
}

/* To break is to copy what a peer may still write, so its work is waited for. */
Test(backing, a_handle_is_broken_when_peers_are_idle)
{
    uint64_t kept[16];
    struct pool_block block;

    moving = true;
    for (int ends = 0; ends < 2; ends++) {
        quarters(kept);
        fake.complete_at_once = false;
        fake.only_peers = true;
        if (!ends)
            fake_hold(&fake);
        cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), ends ? 0 : -ENOMEM);
        cr_assert_eq(statistics().breaks > 0, ends);
        cr_assert_eq(fake.hangs, 0);
        kept_check(kept);
        if (!ends)
            fake_release(&fake);
        teardown();
    }
}

Test(backing, an_exported_handle_is_not_broken)
{
    uint64_t kept[16];
    struct pool_block block;

    moving = true;
    quarters(kept);
    for (int index = 0; index < 16; index++)
        cr_assert_eq(pool_pin_segment(kept[index]), 0);
    cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), -ENOMEM);
    cr_assert_eq(statistics().breaks, 0);
    kept_check(kept);
    teardown();
}

static uint32_t handle_at(uint64_t address)
{
    const struct fake_range *range = &fake.ranges[0];

    return range->pages[(address - range->address) / (2 * MIB)].handle;
}

static uint64_t exported_kept[16];
static uint32_t exported_handle[16];
static int unmaps_left;

static void export_once(struct fake_backend *device, uint64_t address, uint64_t bytes)
{
    if (--unmaps_left != 0)
        return;
    for (int index = 0; index < 16; index++) {
        exported_handle[index] = handle_at(exported_kept[index]);
        cr_assert_eq(pool_pin_segment(exported_kept[index]), 0);
    }
}

/* While the pool's lock is free another thread may export any block. */
Test(backing, a_handle_that_is_exported_while_it_is_broken_stays)
{
    moving = true;
    for (int unmap = 1, left = 0; left <= 0; unmap++) {
        struct pool_block block;

        quarters(exported_kept);
        unmaps_left = unmap;
        fake.on_unmap = export_once;
        (void)pool_allocate(pool, 40 * MIB, 0, &block);
        left = unmaps_left; /* above 0: there were fewer */
        fake.on_unmap = NULL;
        for (int index = 0; index < 16 && left <= 0; index++)
            cr_assert_eq(handle_at(exported_kept[index]), exported_handle[index],
                         "block %d lost its memory at unmap %d", index, unmap);
        kept_check(exported_kept);
        teardown();
    }
}

Test(backing, breaking_survives_each_failing_call)
{
    uint64_t kept[16], calls = UINT64_MAX;

    moving = true;
    for (uint64_t fail_at = 0; fail_at < calls; fail_at++) {
        struct pool_block block;

        quarters(kept);
        uint64_t before = fake.calls_total;
        fake.fail_at = fail_at == 0 ? 0 : before + fail_at;
        fake.fail_error = -EIO;
        int error = pool_allocate(pool, 40 * MIB, 0, &block);
        calls = fail_at == 0 ? fake.calls_total - before : calls;
        fake.fail_at = 0;
        kept_check(kept);
        if (error < 0)
            cr_assert_eq(pool_allocate(pool, 40 * MIB, 0, &block), 0, "after call %llu",
                         (unsigned long long)fail_at);
        kept_check(kept);
        teardown();
    }
    cr_assert_gt(calls, 30);
}

/* ---- threads ---- */

#define THREADS 6

static _Atomic bool stop;
static _Atomic unsigned served;

struct churner {
    pthread_t thread;
    uint64_t random;
};

static uint64_t random_next(uint64_t *state)
{
    *state = random_xorshift(*state);
    return *state;
}

static void *churner_main(void *argument)
{
    struct churner *churner = argument;
    uint64_t slots[12] = {0};

    for (int step = 0; step < 4000; step++) {
        uint64_t r = random_next(&churner->random), *slot = &slots[r % 12];
        struct pool_block block;

        if (*slot != 0)
            give(*slot);
        *slot = 0;
        size_t most = r / 16 % 8 == 0 ? 12 * MIB : r / 16 % 8 < 4 ? 2 * MIB : 100000;
        if (pool_allocate(pool, 1 + r / 128 % most, 0, &block) < 0)
            continue;
        *slot = block.address;
        atomic_fetch_add(&served, 1);
        cr_assert(fake_accessible(&fake, block.address, block.allocated_bytes));
    }
    for (int index = 0; index < 12; index++)
        if (slots[index] != 0)
            give(slots[index]);
    return NULL;
}

static void *meddler_main(void *argument)
{
    uint64_t moved, random = 99;
    size_t returned;

    while (!stop) {
        switch (random_next(&random) % 4) {
        case 0: pool_trim(pool, random % (64 * MIB), &returned); break;
        case 1: pool_defragment(pool, &moved); break;
        case 2: pool_idle_trim(pool); break;
        default: check_pool();
        }
    }
    return NULL;
}

static void tight_and_idle(struct pool_config *config)
{
    config->page_bytes = 2 * MIB;
    config->idle_trim_ns = 1;
}

/* Mappings change while others allocate, look, give back and stitch. */
Test(backing, threads_that_stitch_side_by_side, .fini = teardown)
{
    struct churner churners[THREADS];
    pthread_t meddler;

    setup_with(tight_and_idle);
    fake.capacity_bytes = 112 * MIB;
    fake.complete_at_once = true;
    for (int index = 0; index < THREADS; index++) {
        churners[index].random = 88172645463325252u + (unsigned)index * 7919;
        pthread_create(&churners[index].thread, NULL, churner_main, &churners[index]);
    }
    pthread_create(&meddler, NULL, meddler_main, NULL);
    for (int index = 0; index < THREADS; index++)
        pthread_join(churners[index].thread, NULL);
    stop = true;
    pthread_join(meddler, NULL);
    printf("served %u of %u, %llu stitches\n", served, THREADS * 4000,
           (unsigned long long)statistics().stitches);
    cr_assert_gt(served, THREADS * 4000 * 9 / 10);
    cr_assert_gt(statistics().stitches, 0);
    cr_assert_eq(statistics().live_blocks.current, 0);
}
