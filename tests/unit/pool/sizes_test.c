/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of classes, exhaustively, and the buddy against a naive map of leaves.
 */
#include "tests/unit/harness.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/base/buddy.h"
#include "pool/base/size_class.h"

Test(size_class, every_small_size_has_the_smallest_class_that_holds_it)
{
    struct size_classes classes;

    cr_assert_eq(size_classes_init(NULL, 0, &classes), 0);
    for (size_t bytes = 1; bytes <= SIZE_SMALL_MAX; bytes++) {
        unsigned size_class = size_class_of(&classes, bytes);

        cr_assert_lt(size_class, SIZE_CLASS_COUNT);
        cr_assert_eq(classes.bytes[size_class], size_class_bytes(size_class));
        cr_assert_geq(size_class_bytes(size_class), bytes);
        cr_assert(size_class == 0 || size_class_bytes(size_class - 1) < bytes);
        cr_assert(bytes < 4096 || 8 * (size_class_bytes(size_class) - bytes) <= bytes,
                  "%zu wastes more than an eighth", bytes);
    }
    cr_assert_eq(size_class_bytes(SIZE_CLASS_COUNT - 1), SIZE_SMALL_MAX);
}

Test(size_class, other_classes_serve_every_small_size)
{
    static const uint16_t bytes[] = {512, 768, 1280, 9984};
    struct size_classes classes;

    cr_assert_eq(size_classes_init(bytes, 4, &classes), 0);
    for (size_t wanted = 1; wanted <= SIZE_SMALL_MAX; wanted++) {
        unsigned size_class = size_class_of(&classes, wanted);

        cr_assert_geq(classes.bytes[size_class], wanted);
        cr_assert(size_class == 0 || classes.bytes[size_class - 1] < wanted);
    }
    cr_assert_eq(classes.bytes[4], SIZE_SMALL_MAX, "the class above all others is added");
}

Test(size_class, lists_that_are_no_classes_are_refused)
{
    static const struct {
        uint16_t bytes[3];
        size_t count;
    } bad[] = {{{256}, 1},        {{520}, 1},   {{1024, 1024}, 2},
               {{2048, 1024}, 2}, {{33024}, 1}, {{0}, 1}};
    struct size_classes classes;
    uint16_t full[SIZE_CLASS_COUNT + 1];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(size_classes_init(bad[i].bytes, bad[i].count, &classes), -EINVAL, "%zu", i);
    for (unsigned i = 0; i <= SIZE_CLASS_COUNT; i++)
        full[i] = (uint16_t)((i + 2) * SIZE_UNIT_BYTES);
    cr_assert_eq(size_classes_init(full, SIZE_CLASS_COUNT, &classes), -EINVAL,
                 "no room for 32 KiB");
    cr_assert_eq(size_classes_init(full, SIZE_CLASS_COUNT + 1, &classes), -EINVAL);
    cr_assert_eq(size_classes_init(full, SIZE_CLASS_COUNT - 1, &classes), 0);
}

/* The object at an address in a slab, found without reading the slab. */
static void shape_check(const struct size_class *geometry)
{
    const struct size_shape *shape =
        &size_shapes[size_shape_of(geometry->object_bytes, geometry->slab_bytes)];

    cr_assert_eq(shape->reciprocal, geometry->reciprocal);
    cr_assert_eq(shape->object_bytes, geometry->object_bytes);
    cr_assert_eq(shape->alignment_bits, pool_log2_ceil(geometry->slab_bytes));
    for (uint32_t offset = 0; offset < geometry->slab_bytes; offset += 256)
        cr_assert_eq(size_class_index(geometry->reciprocal, offset),
                     offset / geometry->object_bytes);
}

Test(size_class, slabs_are_as_promised)
{
    for (uint32_t bytes = SIZE_UNIT_BYTES; bytes <= SIZE_SMALL_MAX; bytes += SIZE_UNIT_BYTES) {
        struct size_class geometry;

        size_class_describe(bytes, 0, &geometry);
        cr_assert_eq(geometry.object_bytes, bytes);
        cr_assert_geq(geometry.objects, 8);
        cr_assert(bytes < SIZE_CLASS_LEAST || geometry.objects <= SIZE_SLAB_OBJECTS_MAX);
        cr_assert_eq(geometry.slab_bytes % SIZE_SLAB_STEP_BYTES, 0);
        cr_assert_leq(geometry.slab_bytes, 256 << 10);
        shape_check(&geometry);
    }
}

/* The unused share of a slab, after its last object. */
static double tail_share(uint32_t slab_bytes, uint32_t object_bytes)
{
    return (double)(slab_bytes % object_bytes) / slab_bytes;
}

Test(size_class, slabs_of_a_size_of_ones_own_are_as_promised)
{
    for (uint32_t most = SIZE_SLAB_STEP_BYTES; size_slab_valid(most); most += SIZE_SLAB_STEP_BYTES)
        for (uint32_t bytes = SIZE_CLASS_LEAST; bytes <= SIZE_SMALL_MAX; bytes += SIZE_UNIT_BYTES) {
            struct size_class geometry;

            size_class_describe(bytes, most, &geometry);
            uint32_t slab = geometry.slab_bytes;
            double tail = tail_share(slab, bytes);
            cr_assert_eq(geometry.object_bytes, bytes);
            cr_assert_eq(geometry.objects, slab / bytes);
            cr_assert(geometry.objects >= 2 && geometry.objects <= SIZE_SLAB_OBJECTS_MAX);
            cr_assert(slab % SIZE_SLAB_STEP_BYTES == 0 && slab <= most && slab > 0);
            for (uint32_t other = SIZE_SLAB_STEP_BYTES; other <= most;
                 other += SIZE_SLAB_STEP_BYTES)
                cr_assert(other <= slab || other / bytes > SIZE_SLAB_OBJECTS_MAX ||
                              tail_share(other, bytes) > 0.03,
                          "%u bytes: a slab of %u would do as well as %u", bytes, other, slab);
            cr_assert(tail <= 1.0 / 32 || tail <= tail_share(most, bytes) + 0.001);
            shape_check(&geometry);
        }
}

Test(size_class, other_sizes_of_slabs_are_refused)
{
    static const uint64_t bad[] = {1, 4096, 65535, 65537, 98304, 1114112, 2097152, UINT64_MAX};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(size_slab_valid(bad[i]), "%zu", i);
    cr_assert(size_slab_valid(0) && size_slab_valid(65536) && size_slab_valid(1048576));
}

Test(buddy, the_tail_of_a_request_is_given_back)
{
    struct buddy buddy;

    buddy_init(&buddy);
    cr_assert_eq(buddy_take(&buddy, 18), 0, "72 KiB");
    cr_assert_eq(buddy.free_leaves, 512 - 18);
    cr_assert_eq(buddy_take(&buddy, 2), 18, "the first buddy of the tail");
    cr_assert_eq(buddy_take(&buddy, 4), 20);
    cr_assert_eq(buddy_take(&buddy, 8), 24);
    cr_assert_eq(buddy_take(&buddy, 32), 32);
    cr_assert_null(buddy_check(&buddy));
}

Test(buddy, freeing_everything_merges_to_one_block)
{
    for (uint32_t leaves = 1; leaves <= 512; leaves++) {
        struct buddy buddy;
        int taken[512], count = 0;

        buddy_init(&buddy);
        for (int leaf; (leaf = buddy_take(&buddy, leaves)) >= 0;)
            taken[count++] = leaf;
        cr_assert_geq(count, 1);
        for (int index = 0; index < count; index += 2)
            buddy_give(&buddy, (uint32_t)taken[index], leaves);
        for (int index = 1; index < count; index += 2)
            buddy_give(&buddy, (uint32_t)taken[index], leaves);
        cr_assert_eq(buddy_largest_order(&buddy), 9, "%u leaves", leaves);
        cr_assert_eq(buddy_take(&buddy, 512), 0);
        cr_assert_eq(buddy_take(&buddy, 1), -1);
    }
}

/* Whether an aligned block of the power of two that a request needs is free in the naive map. */
static bool model_serves(const bool *taken, uint32_t leaves)
{
    uint32_t block = 1u << pool_log2_ceil(leaves);

    for (uint32_t first = 0; first < 512; first += block) {
        uint32_t free = 0;

        while (free < block && !taken[first + free])
            free++;
        if (free == block)
            return true;
    }
    return false;
}

/* Returns the smallest gap of the naive map that holds a request; -1: none. */
static int model_gap(const bool *taken, uint32_t leaves)
{
    uint32_t best_leaves = 513;
    int best = -1;

    for (uint32_t first = 0, free; first < 512; first += free + 1) {
        for (free = 0; first + free < 512 && !taken[first + free];)
            free++;
        if (free >= leaves && free < best_leaves) {
            best = (int)first;
            best_leaves = free;
        }
    }
    return best;
}

Test(buddy, leaves_side_by_side_serve_in_whichever_blocks_they_lie)
{
    struct buddy buddy;

    buddy_init(&buddy);
    cr_assert_eq(buddy_take(&buddy, 100), 0);
    cr_assert_eq(buddy_take(&buddy, 128), 128);
    buddy_give(&buddy, 0, 100);
    buddy_give(&buddy, 200, 56);
    cr_assert_eq(buddy_take(&buddy, 300), -1, "256 and 56 leaves, in no block of 512");
    cr_assert_eq(buddy_take_anywhere(&buddy, 300), 200);
    cr_assert_eq(buddy_take_anywhere(&buddy, 129), -1);
    cr_assert_eq(buddy_take_anywhere(&buddy, 12), 500, "the smaller of two gaps");
    cr_assert_null(buddy_check(&buddy));
}

Test(buddy, random_operations_agree_with_a_naive_map)
{
    const char *text = getenv("POOL_TEST_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 0) : 20240917;

    printf("seed %u\n", seed);
    for (int round = 0; round < 50; round++) {
        struct buddy buddy;
        bool taken[512] = {false};
        struct {
            uint32_t first, leaves;
        } held[512];
        int count = 0;

        buddy_init(&buddy);
        for (int operation = 0; operation < 2000; operation++) {
            if (rand_r(&seed) % 2 == 0 && count < 512) {
                uint32_t leaves = 1 + (uint32_t)rand_r(&seed) % (1u << rand_r(&seed) % 10);
                bool anywhere = rand_r(&seed) % 3 == 0;
                int first = anywhere ? buddy_take_anywhere(&buddy, leaves)
                                     : buddy_take(&buddy, leaves);

                if (anywhere)
                    cr_assert_eq(first, model_gap(taken, leaves), "%u leaves anywhere", leaves);
                else
                    cr_assert_eq(first >= 0, model_serves(taken, leaves),
                                 "the buddy and the map disagree about %u leaves", leaves);
                if (first < 0)
                    continue;
                for (uint32_t leaf = 0; leaf < leaves; leaf++) {
                    cr_assert_not(taken[(uint32_t)first + leaf], "leaf handed out twice");
                    taken[(uint32_t)first + leaf] = true;
                }
                held[count].first = (uint32_t)first;
                held[count++].leaves = leaves;
            } else if (count > 0) {
                int index = rand_r(&seed) % count;

                memset(taken + held[index].first, 0, held[index].leaves);
                buddy_give(&buddy, held[index].first, held[index].leaves);
                held[index] = held[--count];
            }
            cr_assert_null(buddy_check(&buddy));
        }
        uint32_t free = 0;
        for (int leaf = 0; leaf < 512; leaf++) {
            free += !taken[leaf];
            cr_assert_eq(buddy_leaf_free(&buddy, (uint32_t)leaf), !taken[leaf]);
        }
        cr_assert_eq(free, buddy.free_leaves);
    }
}
