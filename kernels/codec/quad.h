/* SPDX-License-Identifier: MIT */
/*
 * Four bits a value. A group has a minimum and a step, both fp16; the minimum is rounded down and
 * the step up, so they cover the group's range. The codes of a row are two to a byte, the even
 * channel in the low half.
 *
 * Groups lie along a row (values: up to 32 channels of a token), or along the tokens (keys: up to
 * 32 tokens of a channel).
 */
#ifndef KERNELS_CODEC_QUAD_H
#define KERNELS_CODEC_QUAD_H

#include "kernels/codec/part.h"

CODEC_FN size_t quad_groups(const struct codec_part *part)
{
    return (part->dim + CODEC_GROUP - 1) / CODEC_GROUP;
}

CODEC_FN uint32_t quad_width(const struct codec_part *part, size_t group)
{
    uint32_t left = part->dim - (uint32_t)group * CODEC_GROUP;

    return left < CODEC_GROUP ? left : CODEC_GROUP;
}

struct quad_range {
    uint16_t low, step; /* fp16 */
};

CODEC_FN size_t quad_bytes(const struct codec_part *part)
{
    return part_rows(part) * quad_groups(part) * sizeof(struct quad_range) + part_values(part) / 2;
}

/*
 * Ends of a group as integers in the order of the floats, so that the result does not depend on
 * the order of the values: -0 is below 0.
 */
#define RANGE_EMPTY_LOW  INT32_MAX
#define RANGE_EMPTY_HIGH INT32_MIN

CODEC_FN int32_t float_order(float x)
{
    int32_t bits = (int32_t)float_bits(x);

    return bits ^ (bits >> 31 & 0x7fffffff);
}

CODEC_FN float float_of_order(int32_t order)
{
    return float_of_bits((uint32_t)(order ^ (order >> 31 & 0x7fffffff)));
}

/* Values that are not finite do not count. */
CODEC_FN void range_widen(float x, int32_t *low, int32_t *high)
{
    int32_t order = float_order(x), finite = value_is_finite(x);
    int32_t least = finite ? order : RANGE_EMPTY_LOW, most = finite ? order : RANGE_EMPTY_HIGH;

    *low = least < *low ? least : *low;
    *high = most > *high ? most : *high;
}

CODEC_FN struct quad_range range_close(int32_t least, int32_t most, float levels)
{
    struct quad_range range = {0, 0};

    if (least > most) /* nothing finite */
        return range;
    float low = float_of_order(least), high = float_of_order(most);
    /* Beyond fp16 the ends saturate; the codes at the ends then count as saturated. */
    low = low > HALF_MAX ? HALF_MAX : low < -HALF_MAX ? -HALF_MAX : low;
    high = high > HALF_MAX ? HALF_MAX : high < -HALF_MAX ? -HALF_MAX : high;
    range.low = float_to_half_down(low);
    range.step = float_to_half_up((high - half_to_float(range.low)) / levels);
    return range;
}

CODEC_FN uint32_t range_code(float x, float low, float inverse, float levels, uint64_t *saturated)
{
    float scaled = (value_tame(x) - low) * inverse;
    int beyond = !value_is_finite(x) || scaled > levels + 0.51f || scaled < -0.51f ||
                 float_magnitude(value_tame(x)) > HALF_MAX * 1.001f;

    *saturated += (uint64_t)beyond;
    scaled = scaled > levels ? levels : scaled;
    return (uint32_t)float_round(scaled < 0.0f ? 0.0f : scaled);
}

CODEC_FN float range_inverse(struct quad_range range)
{
    float step = half_to_float(range.step);

    return step > 0.0f ? 1.0f / step : 0.0f;
}

CODEC_FN float range_value(uint32_t code, float low, float step)
{
    return low + (float)code * step;
}

CODEC_FN int range_is_sound(uint16_t low, uint16_t step)
{
    return (low & 0x7c00) != 0x7c00 && (step & 0x8000) == 0 && (step & 0x7c00) != 0x7c00;
}

/* Codes a group of `count` (even) values of a row, from element `first`; codes start at a whole
 * byte. */
CODEC_FN void quad_group_encode(const void *raw, size_t first, uint32_t count,
                                struct quad_range *ret_range, uint8_t *codes, uint64_t *saturated,
                                int type)
{
    int32_t low = RANGE_EMPTY_LOW, high = RANGE_EMPTY_HIGH;

    for (uint32_t at = 0; at < count; at++)
        range_widen(value_load(raw, type, first + at), &low, &high);
    struct quad_range range = range_close(low, high, 15.0f);
    float floor = half_to_float(range.low), inverse = range_inverse(range);
    for (uint32_t at = 0; at < count; at += 2) {
        uint32_t even = range_code(value_load(raw, type, first + at), floor, inverse, 15.0f,
                                   saturated);
        uint32_t odd = range_code(value_load(raw, type, first + at + 1), floor, inverse, 15.0f,
                                  saturated);

        codes[at / 2] = (uint8_t)(even | odd << 4);
    }
    *ret_range = range;
}

CODEC_FN void quad_group_decode(const uint8_t *codes, struct quad_range range, void *raw,
                                size_t first, uint32_t count, int type)
{
    float low = half_to_float(range.low), step = half_to_float(range.step);

    for (uint32_t at = 0; at < count; at += 2) {
        uint32_t pair = codes[at / 2];

        value_store(raw, type, first + at, range_value(pair & 15, low, step));
        value_store(raw, type, first + at + 1, range_value(pair >> 4, low, step));
    }
}

#endif
