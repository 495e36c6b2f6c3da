/* SPDX-License-Identifier: MIT */
/*
 * Shared by the codecs' kernels: a unit's part, and four adjacent values for each lane.
 */
#ifndef KERNELS_CODEC_LANES_CUH
#define KERNELS_CODEC_LANES_CUH

#include "kernels/codec/tasks.h"
#include "kernels/device/warp.h"

/** A unit of work: which part of a task, and where its result goes. */
struct codec_unit {
    struct codec_part part;
    const void *raw;
    void *raw_out;
    uint8_t *encoded;
    uint64_t bytes;
    uint32_t *scratch;
    struct codec_result *result;
    size_t at; /* the unit's number in its task */
};

struct no_scratch {
    uint32_t none;
};

KERNEL_INLINE struct codec_unit unit_of(const struct codec_arguments *arguments, uint64_t number)
{
    uint64_t at = number / arguments->units_each;
    const struct codec_task *task = (const struct codec_task *)arguments->tasks + at;
    struct codec_unit unit;
    unit.part.tokens = arguments->tokens;
    unit.part.heads = arguments->heads;
    unit.part.dim = arguments->dim;
    unit.part.keep_permille = 0;
    unit.part.type = arguments->type;
    unit.part.layout = arguments->layout;
    unit.part.values = 0;
    unit.part.first_layer = (int)task->first_layer;
    unit.part.scores = NULL;
    unit.raw = (const void *)task->raw;
    unit.raw_out = (void *)task->raw;
    unit.encoded = (uint8_t *)task->encoded;
    unit.bytes = task->bytes;
    unit.scratch = (uint32_t *)task->scratch;
    unit.result = (struct codec_result *)arguments->results + at;
    unit.at = (size_t)(number % arguments->units_each);
    return unit;
}

KERNEL_INLINE void unit_refuse(const struct codec_unit *unit)
{
    unit->result->refused = 1;
}

KERNEL_INLINE void unit_saturated(const struct codec_unit *unit, uint64_t count)
{
    if (count > 0)
        kernel_add(&unit->result->saturated, count);
}

/* Defines kernel NAME: it runs UNIT(unit, scratch, type) for each unit of this warp. */
#define CODEC_KERNEL(name, unit_function, scratch_type)                                            \
    CODEC_KERNEL_BY(CODEC_BY_TYPE, name, unit_function, scratch_type)
/* The same for types of 16 bits. */
#define CODEC_KERNEL_16(name, unit_function, scratch_type)                                         \
    CODEC_KERNEL_BY(CODEC_BY_TYPE_16, name, unit_function, scratch_type)

#define CODEC_BY_TYPE_16(type, FUNCTION, ...)                                                      \
    do {                                                                                           \
        if ((type) == CUPOOL_CODEC_TYPE_F16)                                                       \
            FUNCTION(__VA_ARGS__, CUPOOL_CODEC_TYPE_F16);                                          \
        else                                                                                       \
            FUNCTION(__VA_ARGS__, CUPOOL_CODEC_TYPE_BF16);                                         \
    } while (0)

#define CODEC_KERNEL_BY(by_type, name, unit_function, scratch_type)                                \
    KERNEL_INLINE void name##_warp(struct kernel_place place,                                      \
                                   const struct codec_arguments *arguments, scratch_type *scratch) \
    {                                                                                              \
        for (uint64_t number = place.warp; number < arguments->units; number += place.warps) {     \
            const struct codec_unit unit = unit_of(arguments, number);                             \
            by_type(arguments->type, unit_function, &unit, scratch);                               \
        }                                                                                          \
    }                                                                                              \
    KERNEL_WARP_DEFINE(name, struct codec_arguments, scratch_type)

/** Lanes for a row, four channels each. */
KERNEL_INLINE uint32_t row_team(uint32_t dim)
{
    uint32_t team = 2;
    while (team < KERNEL_WARP && team * 4 < dim)
        team *= 2;
    return team;
}

KERNEL_INLINE uint32_t is_whole(const void *memory, size_t bytes)
{
    return (uintptr_t)memory % bytes == 0;
}

/* Loads four elements from a multiple of four on; `whole`: they are aligned as one. */
KERNEL_INLINE void four_load(const void *raw, int type, size_t at, uint32_t whole, float *ret_x)
{
    uint32_t bits[4];
    if (!whole) {
        for (uint32_t each = 0; each < 4; each++)
            ret_x[each] = value_load(raw, type, at + each);
        return;
    }
    if (type == CUPOOL_CODEC_TYPE_F32) {
        const kernel_wide wide = *(const kernel_wide *)((const float *)raw + at);
        bits[0] = (uint32_t)wide.x;
        bits[1] = (uint32_t)(wide.x >> 32);
        bits[2] = (uint32_t)wide.y;
        bits[3] = (uint32_t)(wide.y >> 32);
    } else {
        const uint64_t word = *(const kernel_word *)((const uint16_t *)raw + at);
        for (uint32_t each = 0; each < 4; each++)
            bits[each] = (uint32_t)(word >> 16 * each) & 0xffff;
    }
    for (uint32_t each = 0; each < 4; each++)
        ret_x[each] = type == CUPOOL_CODEC_TYPE_F16    ? half_to_float((uint16_t)bits[each])
                      : type == CUPOOL_CODEC_TYPE_BF16 ? bf16_to_float((uint16_t)bits[each])
                                                       : float_of_bits(bits[each]);
}

KERNEL_INLINE void four_store(void *raw, int type, size_t at, uint32_t whole, const float *x)
{
    if (!whole) {
        for (uint32_t each = 0; each < 4; each++)
            value_store(raw, type, at + each, x[each]);
    } else if (type == CUPOOL_CODEC_TYPE_F32) {
        kernel_wide_store((float *)raw + at, float_bits(x[0]) | (uint64_t)float_bits(x[1]) << 32,
                          float_bits(x[2]) | (uint64_t)float_bits(x[3]) << 32);
    } else {
        uint64_t word = 0;
        for (uint32_t each = 0; each < 4; each++)
            word |= (uint64_t)(type == CUPOOL_CODEC_TYPE_F16 ? float_to_half(x[each])
                                                             : float_to_bf16(x[each]))
                    << 16 * each;
        *(kernel_word *)((uint16_t *)raw + at) = word;
    }
}

KERNEL_INLINE uint32_t raw_is_whole(const void *raw, int type)
{
    return is_whole(raw, 4 * value_bytes(type));
}

/* Four bytes at any address. */
KERNEL_INLINE uint32_t bytes_load(const uint8_t *from, uint32_t whole)
{
    if (whole)
        return *(const kernel_half *)from;
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

KERNEL_INLINE void bytes_store(uint8_t *to, uint32_t whole, uint32_t bytes)
{
    if (whole) {
        *(kernel_half *)to = bytes;
        return;
    }
    for (uint32_t each = 0; each < 4; each++)
        to[each] = (uint8_t)(bytes >> 8 * each);
}

#endif
