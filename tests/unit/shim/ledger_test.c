/* SPDX-License-Identifier: MIT */
/*
 * The ledger of memory that the driver handed out itself, and sizes of arrays.
 */
#include <pthread.h>

#include <criterion/criterion.h>

#include "shim/memory/array_size.h"
#include "shim/memory/ledger.h"

static void put(enum trace_memory memory, uint64_t address, size_t bytes, uint32_t context,
                int device)
{
    ledger_put(&(struct ledger_entry){.memory = memory,
                                      .address = address,
                                      .requested_bytes = bytes,
                                      .allocated_bytes = bytes,
                                      .context = context,
                                      .device = device});
}

#define LIMIT ((size_t)100)

Test(ledger, held_room_counts_until_the_memory_does)
{
    struct ledger_entry entry = {0};

    cr_assert(ledger_hold(0, 60, LIMIT));
    cr_assert_not(ledger_hold(0, 50, LIMIT), "60 of 100 are held");
    cr_assert(ledger_hold(1, 100, LIMIT), "another device");
    cr_assert(ledger_hold(0, 40, LIMIT));
    put(TRACE_MEMORY_DEVICE, 0x1000, 70, 1, 0);
    cr_assert_eq(ledger_device_bytes(0), 100, "counted twice: %lu", ledger_device_bytes(0));
    ledger_hold_end();
    cr_assert_eq(ledger_device_bytes(0), 70);
    cr_assert_eq(ledger_device_bytes(1), 0);
    put(TRACE_MEMORY_DEVICE, 0x2000, 30, 1, 0);
    cr_assert_eq(ledger_device_bytes(0), 100);
    cr_assert(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry));
    cr_assert_eq(ledger_device_bytes(0), 30);
}

Test(ledger, memory_beyond_the_held_room_is_counted)
{
    cr_assert(ledger_hold(0, 10, LIMIT));
    put(TRACE_MEMORY_DEVICE, 0x1000, 25, 1, 0);
    cr_assert_eq(ledger_device_bytes(0), 25);
    ledger_hold_end();
    cr_assert_eq(ledger_device_bytes(0), 25);
}

Test(ledger, room_on_too_many_devices_is_not_held)
{
    for (int device = 0; device < 6; device++)
        cr_assert(ledger_hold(device, 10, LIMIT));
    ledger_hold_end();
    for (int device = 0; device < 6; device++)
        cr_assert_eq(ledger_device_bytes(device), 0);
}

static void *hold_many(void *unused)
{
    uintptr_t held = 0;

    for (int i = 0; i < 1000; i++)
        held += ledger_device_add(0, 1, 2500);
    return (void *)held;
}

Test(ledger, threads_never_pass_a_limit_together)
{
    pthread_t threads[4];
    uintptr_t sum = 0;

    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, hold_many, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *held;

        pthread_join(threads[i], &held);
        sum += (uintptr_t)held;
    }
    cr_assert_eq(sum, 2500);
    cr_assert_eq(ledger_device_bytes(0), 2500);
}

Test(ledger, gives_back_what_was_put_and_only_once)
{
    struct ledger_entry entry = {0};

    put(TRACE_MEMORY_DEVICE, 0x1000, 10, 1, 0);
    cr_assert(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry));
    cr_assert_eq(entry.requested_bytes, 10);
    cr_assert_not(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry));
}

Test(ledger, one_free_function_serves_several_kinds)
{
    struct ledger_entry entry = {0};

    put(TRACE_MEMORY_MANAGED, 0x1000, 10, 1, 0);
    cr_assert(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry));
    cr_assert_eq(entry.memory, TRACE_MEMORY_MANAGED);
}

Test(ledger, kinds_that_share_addresses_are_apart)
{
    struct ledger_entry entry = {0};

    put(TRACE_MEMORY_VIRTUAL, 0x1000, 10, 1, 0);
    put(TRACE_MEMORY_MAPPING, 0x1000, 20, 1, 0);
    put(TRACE_MEMORY_DEVICE, 0x1000, 30, 1, 0);
    cr_assert(ledger_take(TRACE_MEMORY_MAPPING, 0x1000, &entry) && entry.requested_bytes == 20);
    cr_assert(ledger_take(TRACE_MEMORY_VIRTUAL, 0x1000, &entry) && entry.requested_bytes == 10);
    cr_assert(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry) && entry.requested_bytes == 30);
}

Test(ledger, an_address_put_again_replaces)
{
    struct ledger_entry entry = {0};

    put(TRACE_MEMORY_DEVICE, 0x1000, 10, 1, 0);
    put(TRACE_MEMORY_DEVICE, 0x1000, 20, 1, 0);
    cr_assert_eq(ledger_device_bytes(0), 20);
    cr_assert(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry) && entry.requested_bytes == 20);
    cr_assert_not(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry));
}

Test(ledger, counts_device_memory_of_each_device)
{
    put(TRACE_MEMORY_DEVICE, 0x1000, 1, 1, 0);
    put(TRACE_MEMORY_ASYNC, 0x2000, 2, 1, 0);
    put(TRACE_MEMORY_PHYSICAL, 0x3000, 4, 1, 0);
    put(TRACE_MEMORY_ARRAY, 0x4000, 8, 1, 0);
    put(TRACE_MEMORY_PINNED, 0x5000, 16, 1, 0);
    put(TRACE_MEMORY_MANAGED, 0x6000, 32, 1, 0);
    put(TRACE_MEMORY_DEVICE, 0x7000, 64, 2, 1);
    cr_assert_eq(ledger_device_bytes(0), 15);
    cr_assert_eq(ledger_device_bytes(1), 64);
    ledger_forget_context(1);
    cr_assert_eq(ledger_device_bytes(0), 0);
    cr_assert_eq(ledger_device_bytes(1), 64);
}

Test(ledger, keeps_the_peak_of_requested_device_memory)
{
    struct ledger_entry entry;

    put(TRACE_MEMORY_DEVICE, 0x1000, 10, 1, 0);
    put(TRACE_MEMORY_ARRAY, 0x1000, 20, 1, 1);
    put(TRACE_MEMORY_PINNED, 0x2000, 40, 1, LEDGER_HOST);
    cr_assert(ledger_take(TRACE_MEMORY_DEVICE, 0x1000, &entry));
    put(TRACE_MEMORY_ASYNC, 0x3000, 5, 0, 0);
    cr_assert_eq(ledger_requested().bytes, 25);
    cr_assert_eq(ledger_requested().peak_bytes, 30);
    ledger_forget_context(1);
    cr_assert_eq(ledger_requested().bytes, 5);
    cr_assert_eq(ledger_requested().peak_bytes, 30);
}

Test(ledger, a_context_takes_its_own_along_and_no_more)
{
    struct ledger_entry entry = {0};

    for (uint64_t i = 1; i <= 100; i++)
        put(TRACE_MEMORY_DEVICE, i << 12, 1, i % 2 ? 1 : 2, 0);
    put(TRACE_MEMORY_PHYSICAL, 7, 1000, 0, 0);
    for (uint64_t i = 1; i <= 100; i += 3)
        cr_assert(ledger_take(TRACE_MEMORY_DEVICE, i << 12, &entry));
    ledger_forget_context(1);
    cr_assert_eq(ledger_device_bytes(0), 1000 + 33);
    for (uint64_t i = 1; i <= 100; i++)
        cr_assert_eq(ledger_take(TRACE_MEMORY_DEVICE, i << 12, &entry), i % 2 == 0 && i % 3 != 1);
    cr_assert_eq(ledger_device_bytes(0), 1000);
}

Test(ledger, very_many)
{
    enum { MANY = 300000 };
    struct ledger_entry entry = {0};
    for (uint64_t i = 1; i <= MANY; i++)
        put(TRACE_MEMORY_DEVICE, i * 512, i, 1, 0);
    cr_assert_eq(ledger_device_bytes(0), (uint64_t)MANY * (MANY + 1) / 2);
    for (uint64_t i = MANY; i >= 1; i--) {
        cr_assert(ledger_take(TRACE_MEMORY_DEVICE, i * 512, &entry));
        cr_assert_eq(entry.requested_bytes, i);
    }
    cr_assert_eq(ledger_device_bytes(0), 0);
}

Test(array_size, of_one_and_of_all_levels)
{
    struct cudaChannelFormatDesc floats = {.x = 32, .y = 32, .f = cudaChannelFormatKindFloat};

    cr_assert_eq(array_runtime_bytes(0, &floats, make_extent(100, 0, 0), 1), 800);
    cr_assert_eq(array_runtime_bytes(0, &floats, make_extent(8, 4, 2), 1), 512);
    cr_assert_eq(array_runtime_bytes(0, &floats, make_extent(8, 4, 0), 4), (32 + 8 + 2 + 1) * 8);
    cr_assert_eq(array_runtime_bytes(0, NULL, make_extent(8, 4, 0), 4), 0);
    CUDA_ARRAY3D_DESCRIPTOR halves = {
        .Width = 8, .Height = 4, .Depth = 2, .Format = CU_AD_FORMAT_HALF, .NumChannels = 4};
    cr_assert_eq(array3d_driver_bytes(&halves, 1), 512);
    halves.Depth = halves.Width = halves.Height = (size_t)1 << 30; /* refused, and not of 0 bytes */
    cr_assert_eq(array3d_driver_bytes(&halves, 2), SIZE_MAX);
    cr_assert_eq(
        array_runtime_bytes(0, &floats, make_extent((size_t)1 << 31, (size_t)1 << 31, 0), 1),
        SIZE_MAX);
}

Test(array_size, of_what_has_no_memory_of_its_own)
{
    struct cudaChannelFormatDesc floats = {.x = 32, .f = cudaChannelFormatKindFloat};

    cr_assert_eq(array_runtime_bytes(cudaArraySparse, &floats, make_extent(64, 64, 0), 1), 0);
    CUDA_ARRAY3D_DESCRIPTOR later = {.Width = 8,
                                     .Height = 4,
                                     .Format = CU_AD_FORMAT_HALF,
                                     .NumChannels = 4,
                                     .Flags = CUDA_ARRAY3D_DEFERRED_MAPPING};
    cr_assert_eq(array3d_driver_bytes(&later, 1), 0);
}
