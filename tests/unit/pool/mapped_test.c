/* SPDX-License-Identifier: MIT */
/*
 * Mapped memory on a model of a device that knows every mapping, holds its rules against each call,
 * has a capacity, and fails any one call on demand.
 */
#include "tests/unit/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/backing/mapped.h"

#define BASE  (UINT64_C(1) << 40)
#define MIB   (UINT64_C(1) << 20)
#define PAGES 4096u

static struct {
    uint64_t capacity, created;
    uint64_t handle_bytes[PAGES]; /* by handle - 1; 0: none */
    bool handle_mapped[PAGES];
    unsigned page[PAGES]; /* handle mapped there; 0: none */
    bool enabled[PAGES];
    unsigned handles, calls, fail_at, large_released; /* above 2 MiB */
    bool reserved;
} device;

static bool fails(void)
{
    return ++device.calls == device.fail_at;
}

static int range_reserve(void *state, size_t bytes, uint64_t *ret_address)
{
    cr_assert_leq(bytes, PAGES * RANGE_PAGE_BYTES);
    if (fails())
        return -ENOMEM;
    device.reserved = true;
    *ret_address = BASE;
    return 0;
}

static int range_release(void *state, uint64_t address, size_t bytes)
{
    cr_assert_eq(address, BASE);
    for (unsigned page = 0; page < PAGES; page++)
        cr_assert_eq(device.page[page], 0, "released with mappings");
    device.reserved = false;
    return 0;
}

static int page_create(void *state, size_t bytes, pool_page_handle *ret_handle)
{
    cr_assert_eq(bytes % RANGE_PAGE_BYTES, 0);
    if (fails())
        return -EIO;
    if (device.created + bytes > device.capacity)
        return -ENOMEM;
    cr_assert_lt(device.handles, PAGES);
    device.created += bytes;
    device.handle_bytes[device.handles] = bytes;
    *ret_handle = ++device.handles;
    return 0;
}

static int page_release(void *state, pool_page_handle handle)
{
    cr_assert_neq(device.handle_bytes[handle - 1], 0, "released twice");
    cr_assert_not(device.handle_mapped[handle - 1], "released while it is mapped");
    device.created -= device.handle_bytes[handle - 1];
    device.large_released += device.handle_bytes[handle - 1] > RANGE_PAGE_BYTES;
    device.handle_bytes[handle - 1] = 0;
    return 0;
}

static unsigned page_of(uint64_t address)
{
    cr_assert_eq(address % RANGE_PAGE_BYTES, 0);
    cr_assert_lt(address - BASE, PAGES * RANGE_PAGE_BYTES);
    return (unsigned)((address - BASE) / RANGE_PAGE_BYTES);
}

static int page_map(void *state, uint64_t address, size_t bytes, pool_page_handle handle)
{
    cr_assert_eq(bytes, device.handle_bytes[handle - 1], "a handle is mapped whole");
    cr_assert_not(device.handle_mapped[handle - 1]);
    if (fails())
        return -EIO;
    for (unsigned page = page_of(address), end = page + (unsigned)(bytes / RANGE_PAGE_BYTES);
         page < end; page++) {
        cr_assert_eq(device.page[page], 0, "mapped over a mapping");
        device.page[page] = (unsigned)handle;
        device.enabled[page] = false;
    }
    device.handle_mapped[handle - 1] = true;
    return 0;
}

static int page_enable(void *state, uint64_t address, size_t bytes)
{
    if (fails())
        return -EIO;
    for (unsigned page = page_of(address), end = page + (unsigned)(bytes / RANGE_PAGE_BYTES);
         page < end; page++) {
        cr_assert_neq(device.page[page], 0);
        device.enabled[page] = true;
    }
    return 0;
}

static int page_unmap(void *state, uint64_t address, size_t bytes)
{
    unsigned first = page_of(address), end = first + (unsigned)(bytes / RANGE_PAGE_BYTES);

    if (fails())
        return -EIO;
    cr_assert(first == 0 || device.page[first - 1] != device.page[first], "unmapped in part");
    cr_assert(end == PAGES || device.page[end] == 0 || device.page[end] != device.page[end - 1],
              "unmapped in part");
    for (unsigned page = first; page < end; page++) {
        cr_assert_neq(device.page[page], 0, "unmapped where nothing is");
        device.handle_mapped[device.page[page] - 1] = false;
        device.page[page] = 0;
    }
    return 0;
}

static const struct pool_backend backend = {
    .range_reserve = range_reserve,
    .range_release = range_release,
    .page_create = page_create,
    .page_release = page_release,
    .page_map = page_map,
    .page_enable = page_enable,
    .page_unmap = page_unmap,
};

static struct mapped mapped;
static struct pool_lock lock, outer;
static pool_count account, reserved;
static uint64_t stitches, stitched_bytes, peak_bytes;
static unsigned divided;
static bool large_first; /* handles */
static uint64_t sure_bytes = UINT64_MAX;

static void setup_with(uint64_t capacity, uint64_t page_bytes, uint64_t slack_bytes)
{
    struct mapped_config config;

    device.capacity = capacity;
    mapped_config_init(&config);
    config.page_bytes = page_bytes;
    config.slack_bytes = slack_bytes;
    config.growth_part = 0;
    pool_lock_init(&lock, POOL_LOCK_RUNS);
    pool_lock_init(&outer, POOL_LOCK_BACKEND);
    account = reserved = 0;
    stitches = stitched_bytes = peak_bytes = 0;
    divided = 0;
    cr_assert_eq(mapped_init(&mapped, &backend, &config,
                             &(struct mapped_place){.lock = &lock,
                                                    .outer = &outer,
                                                    .bytes = 1024 * MIB,
                                                    .extent_bytes = sizeof(struct extent),
                                                    .account = &account,
                                                    .reserved_bytes = &reserved}),
                 0);
}

static uint64_t live_bytes(void)
{
    return count_get(&mapped.range.bytes_of[EXTENT_LIVE]);
}

static int take(uint64_t bytes, struct extent **ret_extent)
{
    struct mapped_wish wish = {
        .bytes = pool_round_up(bytes, RANGE_GRAIN_BYTES),
        .first_bytes = large_first ? mapped.config.first_bytes : 0,
        .sure_bytes = sure_bytes,
        .divide = large_first,
        .stitch = true,
        .create = true,
    };
    struct mapped_grown grown = {.extent = range_take(&mapped.range, wish.bytes)};
    unsigned released = device.large_released;
    int error = 0;

    peak_bytes = pool_max(peak_bytes, live_bytes() + (grown.extent ? 0 : wish.bytes));
    mapped_ceiling(&mapped, peak_bytes);
    pool_lock_acquire(&outer);
    if (!grown.extent)
        error = mapped_grow(&mapped, &wish, &grown);
    pool_lock_release(&outer);
    if (error == 0)
        *ret_extent = grown.extent;
    stitches += error == 0 && grown.stitched_bytes != 0;
    divided += error == 0 ? device.large_released - released : 0;
    stitched_bytes += error == 0 ? grown.stitched_bytes : 0;
    return error;
}

static uint64_t trim(uint64_t keep)
{
    pool_lock_acquire(&outer);
    uint64_t bytes = mapped_trim(&mapped, keep);
    pool_lock_release(&outer);
    return bytes;
}

static void check(void)
{
    const char *why = mapped_check_locked(&mapped);

    cr_assert_null(why, "%s", why);
    cr_assert_eq(reserved, device.created);
}

/* Every page of a live block is mapped and accessible. */
static void check_backed(const struct extent *extent)
{
    uint64_t at = extent->node.address & ~(RANGE_PAGE_BYTES - 1);

    for (; at < extent_end(extent); at += RANGE_PAGE_BYTES) {
        cr_assert_neq(device.page[page_of(at)], 0);
        cr_assert(device.enabled[page_of(at)]);
    }
}

Test(mapped, scattered_free_memory_serves_a_large_block)
{
    struct extent *block[8], *large;

    setup_with(64 * MIB, 8 * MIB, 0);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(take(8 * MIB, &block[i]), 0);
    for (unsigned i = 0; i < 8; i += 2)
        range_give(&mapped.range, block[i]);
    cr_assert_eq(take(32 * MIB, &large), 0, "nothing new, the free half is stitched");
    check();
    check_backed(large);
    cr_assert_eq(device.created, 64 * MIB);
    cr_assert_eq(stitches, 1);
    cr_assert_eq(stitched_bytes, 32 * MIB);
    for (unsigned i = 1; i < 8; i += 2)
        check_backed(block[i]);
}

Test(mapped, a_full_device_is_an_error_that_changes_nothing)
{
    struct extent *block, *large;

    setup_with(16 * MIB, 8 * MIB, 0);
    cr_assert_eq(take(10 * MIB, &block), 0);
    cr_assert_eq(take(8 * MIB, &large), -ENOMEM);
    check();
    check_backed(block);
    cr_assert_eq(take(6 * MIB, &large), 0, "what is left can be had");
    check();
}

/* The ceiling alone would allow to take all of it from the device. */
Test(mapped, what_is_left_and_what_is_free_serve_together)
{
    struct extent *block[3], *large;

    setup_with(128 * MIB, 2 * MIB, 512 * MIB);
    cr_assert_eq(take(32 * MIB, &block[0]), 0);
    cr_assert_eq(take(32 * MIB, &block[1]), 0);
    cr_assert_eq(take(8 * MIB, &block[2]), 0);
    range_give(&mapped.range, block[0]);
    sure_bytes = 0;
    cr_assert_eq(take(90 * MIB, &large), -ENOMEM, "more than both");
    check();
    cr_assert_eq(take(80 * MIB, &large), 0);
    check();
    check_backed(large);
}

Test(mapped, trimming_leaves_what_is_live)
{
    struct extent *block[4];

    setup_with(64 * MIB, 2 * MIB, 0);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(take(5 * MIB, &block[i]), 0);
    range_give(&mapped.range, block[1]);
    range_give(&mapped.range, block[3]);
    cr_assert_gt(trim(0), 0);
    check();
    check_backed(block[0]);
    check_backed(block[2]);
    cr_assert_leq(device.created, 16 * MIB);
    cr_assert_eq(mapped_whole_bytes_locked(&mapped), 0);
    range_give(&mapped.range, block[0]);
    range_give(&mapped.range, block[2]);
    mapped_done(&mapped, false);
    cr_assert_eq(device.created, 0);
    cr_assert_not(device.reserved);
}

/* Returns the largest handle below a block. */
static uint64_t largest_handle(const struct extent *extent)
{
    uint64_t at = extent->node.address & ~(RANGE_PAGE_BYTES - 1), most = 0;

    for (; at < extent_end(extent); at += RANGE_PAGE_BYTES)
        most = pool_max(most, device.handle_bytes[device.page[page_of(at)] - 1]);
    return most;
}

Test(mapped, handles_are_large_until_the_first_stitch)
{
    struct extent *block[9], *stitched, *other;

    large_first = true;
    setup_with(1024 * MIB, 2 * MIB, 0);
    for (unsigned i = 0; i < 9; i++) {
        cr_assert_eq(take(32 * MIB, &block[i]), 0);
        cr_assert_eq(largest_handle(block[i]), 2 * (i + 1) * MIB, "1/16 of what is reserved now");
    }
    for (unsigned i = 0; i < 8; i += 2)
        range_give(&mapped.range, block[i]);
    cr_assert_eq(take(96 * MIB, &stitched), 0);
    check();
    check_backed(stitched);
    cr_assert_eq(stitches, 1);
    cr_assert_eq(largest_handle(stitched), 2 * MIB, "what was large is divided");
    cr_assert_gt(divided, 0);
    for (unsigned i = 1; i < 9; i += 2)
        check_backed(block[i]);
    cr_assert_eq(take(400 * MIB, &other), 0);
    cr_assert_eq(largest_handle(other), 2 * MIB, "and what is new is small");
}

/* Also where the first stitch only comes because the driver has no more. */
Test(mapped, handles_are_small_after_a_stitch_on_a_full_device)
{
    struct extent *block[9], *stitched, *other;

    large_first = true;
    setup_with(288 * MIB, 2 * MIB, 512 * MIB);
    for (unsigned i = 0; i < 9; i++)
        cr_assert_eq(take(32 * MIB, &block[i]), 0);
    for (unsigned i = 0; i < 8; i += 2)
        range_give(&mapped.range, block[i]);
    cr_assert_eq(take(96 * MIB, &stitched), 0);
    check();
    cr_assert_eq(stitches, 1);
    device.capacity = 1024 * MIB;
    cr_assert_eq(take(400 * MIB, &other), 0);
    check();
    cr_assert_eq(largest_handle(other), 2 * MIB);
}

Test(mapped, what_is_kept_from_the_start_is_not_divided)
{
    struct mapped_wish wish = {
        .bytes = 192 * MIB,
        .handle_bytes = 64 * MIB,
        .sure_bytes = UINT64_MAX,
        .stitch = true,
        .create = true,
    };
    struct extent *low, *middle, *high, *stitched;
    struct mapped_grown grown;

    large_first = true;
    setup_with(1024 * MIB, 2 * MIB, 0);
    pool_lock_acquire(&outer);
    cr_assert_eq(mapped_grow(&mapped, &wish, &grown), 0);
    pool_lock_release(&outer);
    range_give(&mapped.range, grown.extent);
    cr_assert_eq(take(64 * MIB, &low), 0);
    cr_assert_eq(take(64 * MIB, &middle), 0);
    cr_assert_eq(take(64 * MIB, &high), 0);
    range_give(&mapped.range, low);
    range_give(&mapped.range, high);
    cr_assert_eq(take(128 * MIB, &stitched), 0);
    check();
    check_backed(stitched);
    cr_assert_eq(stitches, 1);
    cr_assert_eq(stitched_bytes, 64 * MIB);
    cr_assert_eq(divided, 0);
}

/* A fixed course of takes and gives; returns how many calls the device got. */
static unsigned course(unsigned fail_at)
{
    struct extent *live[40];
    unsigned count = 0, begin;

    memset(&device, 0, sizeof(device));
    setup_with(96 * MIB, 8 * MIB, 2 * MIB);
    begin = device.calls;
    device.fail_at = fail_at ? begin + fail_at : 0;
    srandom(7);
    for (unsigned step = 0; step < 300; step++) {
        bool gives = count == 40 || (count && random() % 2);

        if (gives) {
            unsigned which = (unsigned)random() % count;

            range_give(&mapped.range, live[which]);
            live[which] = live[--count];
        } else if (take((uint64_t)(1 + random() % 40) * 300000, &live[count]) == 0) {
            count++;
        }
        if (step % 97 == 96)
            trim(48 * MIB);
        check();
        for (unsigned i = 0; i < count; i++)
            check_backed(live[i]);
    }
    while (count)
        range_give(&mapped.range, live[--count]);
    device.fail_at = 0;
    mapped_done(&mapped, false);
    cr_assert_eq(device.created, 0, "nothing is left behind");
    return device.calls - begin;
}

Test(mapped, each_failing_call_is_survived)
{
    unsigned calls = course(0);

    cr_assert_gt(stitches, 0);
    for (unsigned fail_at = 1; fail_at <= calls; fail_at++)
        course(fail_at);
}

/* Divides handles for a block while one call fails. Returns the number of calls. */
static unsigned divide_course(unsigned fail_at)
{
    struct extent *block[9], *stitched;
    unsigned begin;

    memset(&device, 0, sizeof(device));
    setup_with(1024 * MIB, 2 * MIB, 0);
    for (unsigned i = 0; i < 9; i++)
        cr_assert_eq(take(32 * MIB, &block[i]), 0);
    for (unsigned i = 0; i < 8; i += 2)
        range_give(&mapped.range, block[i]);
    begin = device.calls;
    device.fail_at = fail_at ? begin + fail_at : 0;
    int error = take(96 * MIB, &stitched);
    unsigned calls = device.calls - begin;
    cr_assert_eq(error, fail_at ? -EIO : 0);
    check();
    device.fail_at = 0;
    if (error < 0)
        cr_assert_eq(take(96 * MIB, &stitched), 0, "it can be had afterwards");
    check();
    check_backed(stitched);
    for (unsigned i = 1; i < 9; i += 2)
        check_backed(block[i]);
    cr_assert(fail_at || divided > 0);
    mapped_done(&mapped, false);
    cr_assert_eq(device.created, 0, "nothing is left behind");
    return calls;
}

Test(mapped, each_failing_call_is_survived_where_handles_are_divided)
{
    large_first = true;
    unsigned calls = divide_course(0);

    for (unsigned fail_at = 1; fail_at <= calls; fail_at++)
        divide_course(fail_at);
}
