/* SPDX-License-Identifier: MIT */
/*
 * Geometry of the slabs. By default a slab has the smallest of 64, 128, 192 and 256 KiB that holds
 * at least 8 objects and leaves at most 1/32 unused. With a configured size it is the largest
 * multiple of 64 KiB up to that size that holds at most 128 objects and leaves at most 1/32 unused.
 * If no size leaves so little, the one with the smallest unused share is taken.
 */
#include "pool/base/size_class.h"

#include <errno.h>

#define STEPS_OWN_CHOICE   4u
#define OBJECTS_OWN_CHOICE 8u
#define TAIL_PER_MILLE     (1000u / 32)

static uint32_t tail_per_mille(uint32_t slab_bytes, uint32_t object_bytes)
{
    return (slab_bytes % object_bytes) * 1000u / slab_bytes;
}

/* Returns the better of two slab sizes; the first wins unless it leaves too much unused. */
static uint32_t better_of(uint32_t best, uint32_t bytes, uint32_t object_bytes)
{
    uint32_t least = best == 0 ? UINT32_MAX : tail_per_mille(best, object_bytes);

    return least > TAIL_PER_MILLE && tail_per_mille(bytes, object_bytes) < least ? bytes : best;
}

static uint32_t own_choice(uint32_t object_bytes)
{
    uint32_t best = 0;

    for (uint32_t step = 1; step <= STEPS_OWN_CHOICE; step++)
        if (step * SIZE_SLAB_STEP_BYTES / object_bytes >= OBJECTS_OWN_CHOICE)
            best = better_of(best, step * SIZE_SLAB_STEP_BYTES, object_bytes);
    return best;
}

static uint32_t largest_up_to(uint32_t most_bytes, uint32_t object_bytes)
{
    uint32_t best = 0;

    for (uint32_t bytes = most_bytes; bytes > 0; bytes -= SIZE_SLAB_STEP_BYTES)
        if (bytes / object_bytes <= SIZE_SLAB_OBJECTS_MAX)
            best = better_of(best, bytes, object_bytes);
    return best;
}

void size_class_describe(uint32_t object_bytes, uint64_t slab_bytes, struct size_class *ret_class)
{
    uint32_t bytes = slab_bytes ? largest_up_to((uint32_t)slab_bytes, object_bytes)
                                : own_choice(object_bytes);

    *ret_class = (struct size_class){
        .object_bytes = object_bytes,
        .slab_bytes = bytes,
        .objects = (uint16_t)(bytes / object_bytes),
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
    for (unsigned unit = 0, size_class = 0; unit < SIZE_UNITS; unit++) {
        while (ret_classes->bytes[size_class] < (unit + 1) * SIZE_UNIT_BYTES)
            size_class++;
        ret_classes->of[unit] = (uint8_t)size_class;
    }
    return 0;
}

/* Reciprocal and size as size_class_describe() computes them; the tests compare. Constant
 * expressions, so that the free path needs no pool to read them from. */
#define SHAPE(units, bits)                                                                         \
    {                                                                                              \
        (1u << 20) / (units) + 1, (units)*SIZE_UNIT_BYTES, bits                                    \
    }
#define SHAPES_4(units, bits)                                                                      \
    SHAPE((units) + 1, bits), SHAPE((units) + 2, bits), SHAPE((units) + 3, bits),                  \
        SHAPE((units) + 4, bits)
#define SHAPES_16(units, bits)                                                                     \
    SHAPES_4(units, bits), SHAPES_4((units) + 4, bits), SHAPES_4((units) + 8, bits),               \
        SHAPES_4((units) + 12, bits)
#define SHAPES_64(units, bits)                                                                     \
    SHAPES_16(units, bits), SHAPES_16((units) + 16, bits), SHAPES_16((units) + 32, bits),          \
        SHAPES_16((units) + 48, bits)
#define SHAPES_ALIGNED(bits) SHAPES_64(0, bits), SHAPES_64(64, bits)

const struct size_shape size_shapes[SIZE_SHAPE_COUNT] = {
    SHAPES_ALIGNED(16), SHAPES_ALIGNED(17), SHAPES_ALIGNED(18),
    SHAPES_ALIGNED(19), SHAPES_ALIGNED(20),
};
