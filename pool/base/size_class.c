/* SPDX-License-Identifier: MIT */
/*
 * Geometry of the slabs: the smallest of 64, 128, 192 and 256 KiB that holds 8 objects and leaves
 * at most 1/32 unused at its end; otherwise the one that leaves the smallest fraction.
 */
#include "pool/base/size_class.h"

#include <errno.h>
#include <stdbool.h>

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

void size_class_describe(uint32_t object_bytes, struct size_class *ret_class)
{
    uint32_t slab_bytes = slab_bytes_choose(object_bytes);
    *ret_class = (struct size_class){
        .object_bytes = object_bytes,
        .slab_bytes = slab_bytes,
        .objects = (uint16_t)(slab_bytes / object_bytes),
        .reciprocal = (1u << 20) / (object_bytes / SIZE_UNIT_BYTES) + 1,
    };
}

static bool class_follows(uint16_t bytes, uint16_t before)
{
    return bytes > before && bytes % SIZE_UNIT_BYTES == 0 && bytes >= SIZE_CLASS_LEAST &&
           bytes <= SIZE_SMALL_MAX;
}

int size_classes_init(const uint16_t *bytes, size_t count, struct size_classes *ret_classes)
{
    size_t used = 0;
    if (count > SIZE_CLASS_COUNT)
        return -EINVAL;
    for (; used < count; used++) {
        if (!class_follows(bytes[used], used == 0 ? 0 : bytes[used - 1]))
            return -EINVAL;
        ret_classes->bytes[used] = bytes[used];
    }
    for (; count == 0 && used < SIZE_CLASS_COUNT; used++)
        ret_classes->bytes[used] = (uint16_t)size_class_bytes((unsigned)used);
    if (ret_classes->bytes[used - 1] != SIZE_SMALL_MAX && used == SIZE_CLASS_COUNT)
        return -EINVAL;
    for (; used < SIZE_CLASS_COUNT; used++)
        ret_classes->bytes[used] = SIZE_SMALL_MAX;
    for (unsigned unit = 0, class = 0; unit < SIZE_SHAPE_COUNT; unit++) {
        while (ret_classes->bytes[class] < (unit + 1) * SIZE_UNIT_BYTES)
            class ++;
        ret_classes->of[unit] = (uint8_t) class;
    }
    return 0;
}

/* Reciprocal, size and alignment of each size, as size_class_describe() computes them; the
 * tests compare. A constant table, so that the free path needs no pool to read it from. */
/* clang-format off */
const struct size_shape size_shapes[SIZE_SHAPE_COUNT] = {
    {1048577, 256, 16}, {524289, 512, 16}, {349526, 768, 16}, {262145, 1024, 16}, {209716, 1280, 16}, {174763, 1536, 16},
    {149797, 1792, 16}, {131073, 2048, 16}, {116509, 2304, 16}, {104858, 2560, 16}, {95326, 2816, 16}, {87382, 3072, 16},
    {80660, 3328, 17}, {74899, 3584, 16}, {69906, 3840, 16}, {65537, 4096, 16}, {61681, 4352, 16}, {58255, 4608, 16},
    {55189, 4864, 18}, {52429, 5120, 17}, {49933, 5376, 16}, {47663, 5632, 17}, {45591, 5888, 16}, {43691, 6144, 17},
    {41944, 6400, 16}, {40330, 6656, 18}, {38837, 6912, 18}, {37450, 7168, 16}, {36158, 7424, 18}, {34953, 7680, 17},
    {33826, 7936, 16}, {32769, 8192, 16}, {31776, 8448, 18}, {30841, 8704, 17}, {29960, 8960, 18}, {29128, 9216, 17},
    {28340, 9472, 18}, {27595, 9728, 18}, {26887, 9984, 17}, {26215, 10240, 18}, {25576, 10496, 17}, {24967, 10752, 17},
    {24386, 11008, 18}, {23832, 11264, 18}, {23302, 11520, 18}, {22796, 11776, 17}, {22311, 12032, 18}, {21846, 12288, 18},
    {21400, 12544, 17}, {20972, 12800, 17}, {20561, 13056, 17}, {20165, 13312, 18}, {19785, 13568, 18}, {19419, 13824, 18},
    {19066, 14080, 17}, {18725, 14336, 17}, {18397, 14592, 18}, {18079, 14848, 18}, {17773, 15104, 18}, {17477, 15360, 18},
    {17190, 15616, 17}, {16913, 15872, 17}, {16645, 16128, 17}, {16385, 16384, 17}, {16132, 16640, 18}, {15888, 16896, 18},
    {15651, 17152, 18}, {15421, 17408, 18}, {15197, 17664, 18}, {14980, 17920, 18}, {14769, 18176, 18}, {14564, 18432, 18},
    {14365, 18688, 18}, {14170, 18944, 18}, {13982, 19200, 18}, {13798, 19456, 18}, {13618, 19712, 18}, {13444, 19968, 18},
    {13274, 20224, 18}, {13108, 20480, 18}, {12946, 20736, 18}, {12788, 20992, 18}, {12634, 21248, 18}, {12484, 21504, 18},
    {12337, 21760, 18}, {12193, 22016, 18}, {12053, 22272, 18}, {11916, 22528, 18}, {11782, 22784, 18}, {11651, 23040, 18},
    {11523, 23296, 18}, {11398, 23552, 18}, {11276, 23808, 18}, {11156, 24064, 18}, {11038, 24320, 18}, {10923, 24576, 18},
    {10811, 24832, 18}, {10700, 25088, 18}, {10592, 25344, 18}, {10486, 25600, 18}, {10382, 25856, 18}, {10281, 26112, 18},
    {10181, 26368, 18}, {10083, 26624, 18}, {9987, 26880, 18}, {9893, 27136, 18}, {9800, 27392, 18}, {9710, 27648, 18},
    {9620, 27904, 18}, {9533, 28160, 18}, {9447, 28416, 18}, {9363, 28672, 18}, {9280, 28928, 18}, {9199, 29184, 18},
    {9119, 29440, 18}, {9040, 29696, 18}, {8963, 29952, 18}, {8887, 30208, 18}, {8812, 30464, 18}, {8739, 30720, 18},
    {8666, 30976, 18}, {8595, 31232, 18}, {8526, 31488, 18}, {8457, 31744, 18}, {8389, 32000, 18}, {8323, 32256, 18},
    {8257, 32512, 18}, {8193, 32768, 18},
};
/* clang-format on */
