/* SPDX-License-Identifier: MIT */
/*
 * The kernels that fill and verify, on the host, against a loop over bytes: every alignment, every
 * size to 4 KiB, odd large ones, patterns of every length, and the bytes beside a range.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill/fill.h"
#include "tests/random.h"

#define SIZES 4097u /* 0 to 4 KiB */
#define GAP   48u   /* between ranges: what is beside one is checked, too */

static const uint8_t pattern[FILL_PATTERN_MAX] = {0xc3, 1, 2,  3,  4,  5,  6,  7,
                                                  8,    9, 10, 11, 12, 13, 14, 15};
static uint64_t random_state = 11;

static uint32_t random_next(void)
{
    random_state = random_lcg(random_state);
    return (uint32_t)(random_state >> 33);
}

static uint8_t *memory_make(size_t bytes)
{
    uint8_t *made = aligned_alloc(64, (bytes + 63) & ~(size_t)63);

    cr_assert_not_null(made);
    memset(made, 0x5a, bytes);
    return made;
}

static struct fill_range range_at(const void *address, size_t bytes, uint32_t period)
{
    struct fill_range range;

    cr_assert_eq(fill_range_init(&range, (uint64_t)(uintptr_t)address, bytes, pattern, period), 0);
    return range;
}

static void fill(struct fill_range *ranges, uint32_t count, uint32_t warps)
{
    const struct fill_arguments arguments = {
        .ranges = (uint64_t)(uintptr_t)ranges,
        .tiles = fill_layout(ranges, count),
        .count = count,
    };

    cupool_fill_host(&arguments, warps);
}

static void verify(struct fill_range *ranges, uint64_t *mismatches, uint32_t count, uint32_t warps)
{
    const struct fill_arguments arguments = {
        .ranges = (uint64_t)(uintptr_t)ranges,
        .mismatches = (uint64_t)(uintptr_t)mismatches,
        .tiles = fill_layout(ranges, count),
        .count = count,
    };

    for (uint32_t at = 0; at < count; at++)
        mismatches[at] = FILL_MATCHES;
    cupool_verify_host(&arguments, warps);
}

static void reference_fill(uint8_t *memory, size_t bytes, uint32_t period)
{
    for (size_t at = 0; at < bytes; at++)
        memory[at] = pattern[at % period];
}

/* All sizes at one alignment with one pattern. */
static void sizes_check(uint8_t *memory, uint8_t *wanted, size_t bytes, uint32_t alignment,
                        uint32_t period)
{
    static struct fill_range ranges[SIZES];
    static uint64_t mismatches[SIZES];
    size_t at = 0;

    memset(memory, 0x5a, bytes);
    memset(wanted, 0x5a, bytes);
    for (uint32_t size = 0; size < SIZES; size++) {
        ranges[size] = range_at(memory + at + alignment, size, period);
        reference_fill(wanted + at + alignment, size, period);
        at += (size + GAP + 31) & ~31u;
    }
    fill(ranges, SIZES, 5);
    cr_assert_eq(memcmp(memory, wanted, bytes), 0);
    verify(ranges, mismatches, SIZES, 3);
    for (uint32_t size = 0; size < SIZES; size++)
        cr_assert_eq(mismatches[size], FILL_MATCHES);
    /* Two wrong bytes in each range: the first one comes back. */
    for (uint32_t size = 1; size < SIZES; size++) {
        uint8_t *range = (uint8_t *)(uintptr_t)ranges[size].address;
        uint32_t later = random_next() % size, first = random_next() % (later + 1);

        range[later] ^= 0x80;
        range[first] = (uint8_t)~range[first];
        verify(&ranges[size], &mismatches[size], 1, 2);
        cr_assert_eq(fill_mismatch_offset(mismatches[size]), first);
        cr_assert_eq(fill_mismatch_value(mismatches[size]), range[first]);
        cr_assert_neq(range[first], pattern[first % period]);
    }
}

Test(fill, every_alignment_size_and_pattern)
{
    size_t bytes = 16;

    for (uint32_t size = 0; size < SIZES; size++)
        bytes += (size + GAP + 31) & ~31u;
    uint8_t *memory = memory_make(bytes), *wanted = memory_make(bytes);
    for (uint32_t alignment = 0; alignment < 16; alignment++)
        for (uint32_t step = 0; step < 4; step++) /* each period with four alignments */
            sizes_check(memory, wanted, bytes, alignment, 1 + (4 * step + alignment) % 16);
    free(memory);
    free(wanted);
}

Test(fill, every_period_at_every_alignment)
{
    uint8_t memory[512 + 64], wanted[512 + 64];

    for (uint32_t alignment = 0; alignment < 16; alignment++)
        for (uint32_t period = 1; period <= FILL_PATTERN_MAX; period++)
            for (uint32_t size = 0; size <= 512; size += size < 80 ? 1 : 43) {
                struct fill_range range = range_at(memory + alignment, size, period);

                memset(memory, 0x5a, sizeof(memory));
                memset(wanted, 0x5a, sizeof(wanted));
                fill(&range, 1, 1);
                reference_fill(wanted + alignment, size, period);
                cr_assert_arr_eq(memory, wanted, sizeof(memory));
            }
}

Test(fill, odd_large_ranges)
{
    static const size_t sizes[] = {4099, 65537, (1 << 20) + 13, 3 * (1 << 20) + 8191};
    uint8_t *memory = memory_make(4 << 20), *wanted = memory_make(4 << 20);

    for (unsigned alignment = 0; alignment < 17; alignment++)
        for (unsigned at = 0; at < sizeof(sizes) / sizeof(*sizes); at++) {
            uint32_t period = 1 + (alignment + at) % FILL_PATTERN_MAX;
            struct fill_range range = range_at(memory + alignment, sizes[at], period);
            uint64_t mismatch;

            memset(memory, 0x5a, 4 << 20);
            memset(wanted, 0x5a, 4 << 20);
            fill(&range, 1, 1 + alignment);
            reference_fill(wanted + alignment, sizes[at], period);
            cr_assert_eq(memcmp(memory, wanted, 4 << 20), 0);
            memory[alignment + sizes[at] - 1] ^= 1; /* the very last byte */
            verify(&range, &mismatch, 1, 9);
            cr_assert_eq(fill_mismatch_offset(mismatch), sizes[at] - 1);
        }
    free(memory);
    free(wanted);
}

Test(fill, beside_a_range_nothing_counts)
{
    uint8_t memory[1024];
    uint64_t mismatch;

    memset(memory, 0, sizeof(memory));
    struct fill_range range = range_at(memory + 333, 200, 7);
    reference_fill(memory + 333, 200, 7);
    verify(&range, &mismatch, 1, 1);
    cr_assert_eq(mismatch, FILL_MATCHES);
}

Test(fill, patterns_out_of_range)
{
    struct fill_range range;

    cr_assert_eq(fill_range_init(&range, 64, 1, pattern, 0), -EINVAL);
    cr_assert_eq(fill_range_init(&range, 64, 1, pattern, FILL_PATTERN_MAX + 1), -EINVAL);
}

Test(fill, a_few_with_their_launch)
{
    uint8_t memory[4096], wanted[4096];
    struct fill_few_arguments arguments = {.count = 3};

    memset(memory, 0x5a, sizeof(memory));
    memset(wanted, 0x5a, sizeof(wanted));
    for (uint32_t at = 0; at < 3; at++) {
        arguments.ranges[at] = range_at(memory + 1000 * at + at, 513, 4 + at);
        reference_fill(wanted + 1000 * at + at, 513, 4 + at);
    }
    arguments.tiles = fill_layout(arguments.ranges, arguments.count);
    cupool_fill_few_host(&arguments, 2);
    cr_assert_arr_eq(memory, wanted, sizeof(memory));
}
