/* SPDX-License-Identifier: MIT */
/*
 * Geometry of the slabs: the smallest of 64, 128, 192 and 256 KiB that holds 8 objects and leaves
 * at most 1/32 unused behind the last; where none does, the one that leaves the least share.
 */
#include "pool/base/size_class.h"

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

/* Reciprocal, size and alignment of each class as size_class_describe() computes them; the tests
 * compare. A literal, so that the free path needs no pool to read it from. */
/* clang-format off */
const struct size_shape size_shapes[SIZE_CLASS_COUNT] = {
    {65537, 512, 16}, {32769, 1024, 16}, {21846, 1536, 16}, {16385, 2048, 16}, {13108, 2560, 16}, {10923, 3072, 16}, {9363, 3584, 16}, {8193, 4096, 16},
    {7282, 4608, 16}, {6554, 5120, 17}, {5958, 5632, 17}, {5462, 6144, 17}, {5042, 6656, 18}, {4682, 7168, 16}, {4370, 7680, 17}, {4097, 8192, 16},
    {3641, 9216, 17}, {3277, 10240, 18}, {2979, 11264, 18}, {2731, 12288, 18}, {2521, 13312, 18}, {2341, 14336, 17}, {2185, 15360, 18}, {2049, 16384, 17},
    {1821, 18432, 18}, {1639, 20480, 18}, {1490, 22528, 18}, {1366, 24576, 18}, {1261, 26624, 18}, {1171, 28672, 18}, {1093, 30720, 18}, {1025, 32768, 18},
};
/* clang-format on */
