/* SPDX-License-Identifier: MIT */
/*
 * Four bits a value after a rotation: signs flipped by a fixed pattern, then a Hadamard transform
 * over the largest power of two that divides head_dim. A rotated row looks Gaussian whatever its
 * outliers, so one table of 16 Lloyd-Max levels fits all rows (Max, "Quantizing for minimum
 * distortion", 1960). The scale makes the decoded row as long as the row was.
 *
 * Sums run in the order of the channels, eight apart, on every path.
 */
#ifndef KERNELS_CODEC_ROTATED_H
#define KERNELS_CODEC_ROTATED_H

#include "kernels/codec/scaled.h"

CODEC_FN size_t rotated_bytes(const struct codec_part *part)
{
    return part_rows(part) * 2 + part_values(part) / 2;
}

CODEC_FN uint32_t rotation_block(uint32_t dim)
{
    return dim & (~dim + 1);
}

CODEC_FN float rotation_sign(uint32_t channel)
{
    uint32_t mixed = (channel + 1) * 0x9e3779b9u;

    mixed = (mixed ^ mixed >> 15) * 0x85ebca6bu;
    return float_of_bits(0x3f800000u | (mixed & 0x80000000u));
}

/* Transforms in place, without scaling: the length grows by the root of the block's size. */
CODEC_FN void rotation_hadamard(float *row, uint32_t dim)
{
    uint32_t block = rotation_block(dim);

    for (uint32_t half = 1; half < block; half *= 2)
        for (uint32_t base = 0; base < dim; base += 2 * half)
            for (uint32_t at = base; at < base + half; at++) {
                float a = row[at], b = row[at + half];

                row[at] = a + b;
                row[at + half] = a - b;
            }
}

CODEC_FN float row_square_sum(const float *row, uint32_t dim)
{
    float sum[8] = {0};

    for (uint32_t base = 0; base < dim; base += 8)
        for (uint32_t at = 0; at < 8; at++)
            sum[at] += row[base + at] * row[base + at];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Magnitude of the level of |y| of a unit Gaussian, 0 to 7. */
CODEC_FN uint32_t lloyd_index(float y)
{
    float m = float_magnitude(y);

    return (uint32_t)(m > 0.2582f) + (m > 0.5224f) + (m > 0.7996f) + (m > 1.099f) + (m > 1.437f) +
           (m > 1.844f) + (m > 2.401f);
}

CODEC_FN float lloyd_level(uint32_t index)
{
    float low = index & 1 ? (index & 2 ? 0.9424f : 0.3881f) : (index & 2 ? 0.6568f : 0.1284f);
    float high = index & 1 ? (index & 2 ? 2.733f : 1.618f) : (index & 2 ? 2.069f : 1.256f);

    return index & 4 ? high : low;
}

/* Index of the level and the sign of y. */
CODEC_FN uint32_t lloyd_code(float y)
{
    return lloyd_index(y) | float_bits(y) >> 31 << 3;
}

CODEC_FN float lloyd_value(uint32_t code)
{
    return float_of_bits(float_bits(lloyd_level(code & 7)) | (code & 8) << 28);
}

/* A power of two near a row's largest value, so that squares neither overflow nor vanish. */
CODEC_FN float power_near(uint32_t most)
{
    uint32_t exponent = most >> 23;

    exponent = exponent < 20 ? 20 : exponent > 230 ? 230 : exponent;
    return float_of_bits(exponent << 23);
}

CODEC_FN float row_power(const float *row, uint32_t dim)
{
    uint32_t most = 0;

    for (uint32_t at = 0; at < dim; at++) {
        uint32_t bits = float_bits(row[at]) & 0x7fffffff;

        most = bits > most ? bits : most;
    }
    return power_near(most);
}

/* A value with its channel's sign; infinity becomes the largest finite one. */
CODEC_FN float rotation_flip(float x, float most, uint32_t channel)
{
    float tame = value_tame(x);

    tame = tame > most ? most : tame;
    return (tame < -most ? -most : tame) * rotation_sign(channel);
}

/* Factor that scales a row of this sum of squares to the length of a unit Gaussian. */
CODEC_FN float rotation_unit(float square, uint32_t dim)
{
    return square > 0.0f ? sqrtf((float)dim / square) : 0.0f;
}

/* Scale of a row: its length before the transform, divided by the length of its levels. */
CODEC_FN float rotation_scale(float square, float levels, float power, uint32_t dim)
{
    float norm = sqrtf(square / (float)rotation_block(dim));

    return norm / sqrtf(levels) * power;
}

CODEC_FN int rotation_is_beyond(float scale)
{
    return scale > HALF_MAX * 1.0002f;
}

/* Factor that turns transformed levels back into the row. */
CODEC_FN float rotation_back(uint16_t half, uint32_t dim)
{
    return half_to_float(half) / sqrtf((float)rotation_block(dim));
}

CODEC_FN void rotated_row_encode(const void *raw, size_t first, uint32_t dim, float *row,
                                 uint16_t *ret_scale, uint8_t *codes, uint64_t *saturated, int type)
{
    uint32_t odd = 0;
    float most = float_of_bits((uint32_t)row_magnitude_finite(raw, first, dim, type));

    for (uint32_t at = 0; at < dim; at++) {
        float x = value_load(raw, type, first + at);

        odd += !value_is_finite(x);
        row[at] = rotation_flip(x, most, at);
    }
    float power = row_power(row, dim), inverse = 1.0f / power;
    for (uint32_t at = 0; at < dim; at++)
        row[at] *= inverse;
    rotation_hadamard(row, dim);
    float square = row_square_sum(row, dim), unit = rotation_unit(square, dim);
    for (uint32_t at = 0; at < dim; at += 2) {
        uint32_t even = lloyd_code(row[at] * unit), other = lloyd_code(row[at + 1] * unit);

        row[at] = lloyd_level(even & 7);
        row[at + 1] = lloyd_level(other & 7);
        codes[at / 2] = (uint8_t)(even | other << 4);
    }
    float scale = rotation_scale(square, row_square_sum(row, dim), power, dim);
    *ret_scale = float_to_half(scale);
    *saturated += rotation_is_beyond(scale) ? dim : odd;
}

CODEC_FN void rotated_row_decode(const uint8_t *codes, uint16_t half, float *row, void *raw,
                                 size_t first, uint32_t dim, int type)
{
    for (uint32_t at = 0; at < dim; at++)
        row[at] = lloyd_value(codes[at / 2] >> (at % 2 * 4) & 15);
    rotation_hadamard(row, dim);
    float scale = rotation_back(half, dim);
    for (uint32_t at = 0; at < dim; at++)
        value_store(raw, type, first + at, row[at] * rotation_sign(at) * scale);
}

#endif
