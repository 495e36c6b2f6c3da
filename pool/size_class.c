/* SPDX-License-Identifier: MIT */
/*
 * Geometry of the slabs: the smallest of 64, 128, 192 and 256 KiB that holds 8 objects and leaves
 * at most 1/32 unused behind the last; where none does, the one that leaves the least share.
 */
#include "pool/size_class.h"

static uint32_t tail_per_mille(uint32_t slab_bytes, uint32_t object_bytes)
{
    return (slab_bytes % object_bytes) * 1000u / slab_bytes;
}

static uint32_t slab_bytes_choose(uint32_t object_bytes)
{
    uint32_t best = 0;
    for (uint32_t step = 1; step <= SIZE_SLAB_STEPS_MAX; step++) {
        uint32_t bytes = step * SIZE_SLAB_STEP_BYTES;
        if (bytes / object_bytes < SIZE_SLAB_OBJECTS_MIN)
            continue;
        if (best == 0 || tail_per_mille(bytes, object_bytes) < tail_per_mille(best, object_bytes))
            best = bytes;
        if (tail_per_mille(best, object_bytes) <= 1000 / 32)
            break;
    }
    return best;
}

void size_class_describe(unsigned class, struct size_class *ret_class)
{
    uint32_t object_bytes = size_class_bytes(class);
    uint32_t slab_bytes = slab_bytes_choose(object_bytes);
    *ret_class = (struct size_class){
        .object_bytes = object_bytes,
        .slab_bytes = slab_bytes,
        .objects = (uint16_t)(slab_bytes / object_bytes),
        .reciprocal = (1u << 16) / (object_bytes / SIZE_GRAIN_BYTES) + 1,
    };
}

/* Reciprocal and alignment of each class as size_class_describe() computes them; the tests compare.
 * A literal, so that the free path needs no pool to read it from. */
/* clang-format off */
const struct size_shape size_shapes[SIZE_CLASS_COUNT] = {
    {65537, 16}, {32769, 16}, {21846, 16}, {16385, 16}, {13108, 16}, {10923, 16}, {9363, 16}, {8193, 16},
    {7282, 16}, {6554, 17}, {5958, 17}, {5462, 17}, {5042, 18}, {4682, 16}, {4370, 17}, {4097, 16},
    {3641, 17}, {3277, 18}, {2979, 18}, {2731, 18}, {2521, 18}, {2341, 17}, {2185, 18}, {2049, 17},
    {1821, 18}, {1639, 18}, {1490, 18}, {1366, 18}, {1261, 18}, {1171, 18}, {1093, 18}, {1025, 18},
};
/* clang-format on */
