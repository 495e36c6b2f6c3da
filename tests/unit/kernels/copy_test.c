/* SPDX-License-Identifier: MIT */
/*
 * The copy kernel on the host against memcpy: every alignment of source and destination with every
 * size to 4 KiB, odd large ones, many fragments in a launch, and nothing written beside them.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/copy/copy.h"
#include "tests/random.h"

#define SIZES 4097u /* 0 to 4 KiB */
#define GAP   48u   /* between fragments: what is beside one is checked, too */

static uint64_t random_state = 7;

static uint32_t random_next(void)
{
    random_state = random_lcg(random_state);
    return (uint32_t)(random_state >> 33);
}

static uint8_t *noise_make(size_t bytes)
{
    uint8_t *made = aligned_alloc(64, (bytes + 63) & ~(size_t)63);

    cr_assert_not_null(made);
    for (size_t at = 0; at < bytes; at++)
        made[at] = (uint8_t)random_next();
    return made;
}

static void run(struct copy_fragment *fragments, uint32_t count, uint32_t warps)
{
    const struct copy_arguments arguments = {
        .fragments = (uint64_t)(uintptr_t)fragments,
        .tiles = copy_layout(fragments, count),
        .count = count,
    };

    cupool_copy_host(&arguments, warps);
}

static void reference_copy(const struct copy_fragment *fragments, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        memcpy((void *)(uintptr_t)fragments[at].to, (void *)(uintptr_t)fragments[at].from,
               fragments[at].bytes);
}

/* Copies with the kernel and with memcpy, each into its own place, and compares the places. */
static void compare(struct copy_fragment *fragments, uint32_t count, uint8_t *target,
                    uint8_t *wanted, size_t bytes, uint32_t warps)
{
    memset(target, 0x5a, bytes);
    memset(wanted, 0x5a, bytes);
    run(fragments, count, warps);
    for (uint32_t at = 0; at < count; at++)
        fragments[at].to += (uint64_t)(uintptr_t)wanted - (uint64_t)(uintptr_t)target;
    reference_copy(fragments, count);
    cr_assert_eq(memcmp(target, wanted, bytes), 0);
}

Test(copy, every_alignment_and_every_size)
{
    static struct copy_fragment fragments[SIZES];
    size_t bytes = 0;

    for (uint32_t size = 0; size < SIZES; size++)
        bytes += (size + GAP + 31) & ~31u;
    uint8_t *source = noise_make(bytes + 16), *target = noise_make(bytes + 16);
    uint8_t *wanted = noise_make(bytes + 16);
    for (uint32_t from = 0; from < 16; from++)
        for (uint32_t to = 0; to < 16; to++) {
            size_t at = 0;

            for (uint32_t size = 0; size < SIZES; size++) {
                fragments[size] = (struct copy_fragment){
                    .from = (uint64_t)(uintptr_t)(source + at + from),
                    .to = (uint64_t)(uintptr_t)(target + at + to),
                    .bytes = size,
                };
                at += (size + GAP + 31) & ~31u;
            }
            compare(fragments, SIZES, target, wanted, bytes + 16, 5);
        }
    free(source);
    free(target);
    free(wanted);
}

Test(copy, odd_large_fragments)
{
    static const size_t sizes[] = {4099, 65537, (1 << 20) + 13, 3 * (1 << 20) + 8191};
    uint8_t *source = noise_make(4 << 20), *target = noise_make(4 << 20);
    uint8_t *wanted = noise_make(4 << 20);

    for (unsigned shift = 0; shift < 17; shift++)
        for (unsigned at = 0; at < sizeof(sizes) / sizeof(*sizes); at++) {
            struct copy_fragment fragment = {
                .from = (uint64_t)(uintptr_t)(source + 3 * shift),
                .to = (uint64_t)(uintptr_t)(target + shift),
                .bytes = sizes[at],
            };

            compare(&fragment, 1, target, wanted, 4 << 20, 1 + shift);
        }
    free(source);
    free(target);
    free(wanted);
}

Test(copy, gathers_and_scatters)
{
    enum { PIECES = 300, MOST = 9000 };
    static struct copy_piece pieces[PIECES];
    static struct copy_fragment fragments[PIECES];
    uint8_t *scattered = noise_make(PIECES * MOST), *packed = noise_make(PIECES * MOST);
    uint8_t *back = noise_make(PIECES * MOST);
    size_t total = 0;
    for (uint32_t at = 0; at < PIECES; at++) {
        pieces[at] = (struct copy_piece){
            .address = (uint64_t)(uintptr_t)(scattered + at * MOST + random_next() % 64),
            .bytes = random_next() % (MOST - 64),
        };
        total += pieces[at].bytes;
    }
    struct copy_arguments arguments = {.fragments = (uint64_t)(uintptr_t)fragments,
                                       .count = PIECES};
    arguments.tiles = copy_gather(pieces, PIECES, (uint64_t)(uintptr_t)packed, fragments);
    cupool_copy_host(&arguments, 12);
    size_t at = 0;
    for (uint32_t piece = 0; piece < PIECES; piece++) {
        cr_assert_eq(
            memcmp(packed + at, (void *)(uintptr_t)pieces[piece].address, pieces[piece].bytes), 0);
        at += pieces[piece].bytes;
    }
    cr_assert_eq(at, total);
    memcpy(back, scattered, (size_t)PIECES * MOST);
    for (uint32_t piece = 0; piece < PIECES; piece++)
        memset((void *)(uintptr_t)pieces[piece].address, 0, pieces[piece].bytes);
    arguments.tiles = copy_scatter((uint64_t)(uintptr_t)packed, pieces, PIECES, fragments);
    cupool_copy_host(&arguments, 7);
    cr_assert_eq(memcmp(back, scattered, (size_t)PIECES * MOST), 0);
    free(scattered);
    free(packed);
    free(back);
}

Test(copy, nothing_to_do)
{
    struct copy_arguments arguments = {0};

    cupool_copy_host(&arguments, 4);
    cr_assert_eq(copy_layout(NULL, 0), 0);
}
