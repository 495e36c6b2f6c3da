/* SPDX-License-Identifier: MIT */
/*
 * Uniform steps with Rice codes. The step is a fixed fraction of the values' magnitude, so the
 * relative error is fixed, and the length almost: about 7.6 bits for Gaussian numbers, where eight
 * fixed bits spend 0.5 on rare tails.
 *
 * Values have a step for each row, a fraction of its root mean square. Keys have one step for each
 * head, a fraction of the geometric mean of the channels' root mean squares. So all channels have
 * the same error, as a product with a query needs, and an outlier channel gets the bits it needs
 * through its own Rice parameter.
 *
 * Payload, values: steps fp16 [rows], lengths uint16 [streams], streams. Payload, keys: steps fp16
 * [heads], parameters 4 bit [heads][dim], lengths uint16 [streams], streams. A stream holds the
 * codes of eight rows, low bits first: quotient in ones, a zero, the remainder. 24 ones introduce a
 * number too large for that, in 24 bits. A row with step 0 has no codes.
 */
#ifndef KERNELS_CODEC_RICE_H
#define KERNELS_CODEC_RICE_H

#include "kernels/codec/rotated.h"

#define RICE_VALUE_SHARE     0.0240f
#define RICE_KEY_SHARE       0.0240f
#define RICE_VALUE_PARAMETER 6
#define RICE_QUOTIENT_MAX    24
#define RICE_STREAM_ROWS     8
#define RICE_LARGEST         8388607.0f /* its zigzag code has 24 bits */

struct bit_writer {
    uint8_t *at, *end;
    uint64_t held;
    uint32_t bits;
};

struct bit_reader {
    const uint8_t *at, *end;
    uint64_t held;
    uint32_t bits;
};

/* Up to 56 bits; 0 when there is no room. */
CODEC_FN int bits_put(struct bit_writer *writer, uint64_t value, uint32_t count)
{
    writer->held |= value << writer->bits;
    writer->bits += count;
    while (writer->bits >= 8) {
        if (writer->at == writer->end)
            return 0;
        *writer->at++ = (uint8_t)writer->held;
        writer->held >>= 8;
        writer->bits -= 8;
    }
    return 1;
}

CODEC_FN void bits_fill(struct bit_reader *reader)
{
    while (reader->bits <= 56 && reader->at < reader->end) {
        reader->held |= (uint64_t)*reader->at++ << reader->bits;
        reader->bits += 8;
    }
}

/* A row as whole numbers of steps. */
CODEC_FN void rice_row_round(const void *raw, size_t first, uint32_t dim, float step,
                             int32_t *numbers, uint64_t *saturated, int type)
{
    float inverse = step > 0.0f ? 1.0f / step : 0.0f;

    for (uint32_t at = 0; at < dim; at++) {
        float x = value_load(raw, type, first + at), scaled = value_tame(x) * inverse;
        int beyond = !value_is_finite(x) || float_magnitude(scaled) > RICE_LARGEST;

        *saturated += (uint64_t)beyond;
        scaled = scaled > RICE_LARGEST ? RICE_LARGEST : scaled;
        scaled = scaled < -RICE_LARGEST ? -RICE_LARGEST : scaled;
        /* Beyond the range of the addition trick, a float is an integer or half of one. */
        numbers[at] = float_magnitude(scaled) < 4194304.0f ? float_round(scaled) : (int32_t)scaled;
    }
}

CODEC_FN int rice_put(struct bit_writer *writer, int32_t number, uint32_t parameter)
{
    uint32_t code = (uint32_t)number << 1 ^ (uint32_t)(number >> 31);
    uint32_t quotient = code >> parameter;

    if (quotient >= RICE_QUOTIENT_MAX)
        return bits_put(writer, (1u << RICE_QUOTIENT_MAX) - 1, RICE_QUOTIENT_MAX) &&
               bits_put(writer, code & 0xffffff, 24);
    return bits_put(writer, (1u << quotient) - 1, quotient + 1) &&
           bits_put(writer, code & ((1u << parameter) - 1), parameter);
}

/* 0 when the stream ends too early. */
CODEC_FN int rice_get(struct bit_reader *reader, uint32_t parameter, int32_t *ret_number)
{
    uint32_t code, quotient = 0, used;

    bits_fill(reader);
    while (quotient < RICE_QUOTIENT_MAX && (reader->held >> quotient & 1))
        quotient++;
    if (quotient == RICE_QUOTIENT_MAX) {
        code = (uint32_t)(reader->held >> RICE_QUOTIENT_MAX) & 0xffffff;
        used = RICE_QUOTIENT_MAX + 24;
    } else {
        code = quotient << parameter |
               ((uint32_t)(reader->held >> (quotient + 1)) & ((1u << parameter) - 1));
        used = quotient + 1 + parameter;
    }
    if (used > reader->bits)
        return 0;
    reader->held >>= used;
    reader->bits -= used;
    *ret_number = (int32_t)(code >> 1) ^ -(int32_t)(code & 1);
    return 1;
}

CODEC_FN float rice_step(float scale)
{
    return half_to_float(float_to_half(scale));
}

/* Root mean square of a row; non-finite values count as their substitutes. */
CODEC_FN float row_rms(const void *raw, size_t first, uint32_t dim, float *row, int type)
{
    for (uint32_t at = 0; at < dim; at++) {
        float x = value_load(raw, type, first + at);

        row[at] = value_is_finite(x) ? x : 0.0f;
    }
    float power = row_power(row, dim), inverse = 1.0f / power;
    for (uint32_t at = 0; at < dim; at++)
        row[at] *= inverse;
    return sqrtf(row_square_sum(row, dim) / (float)dim) * power;
}

/* Mean squares of the channels of a head, with values scaled near 1 by `inverse`. */
CODEC_FN void rice_channel_squares(const struct codec_part *part, const void *raw, size_t head,
                                   float inverse, float *squares, int type)
{
    for (uint32_t at = 0; at < part->dim; at++)
        squares[at] = 0.0f;
    for (uint32_t token = 0; token < part->tokens; token++) {
        size_t first = part_row(part, head, token) * part->dim;

        for (uint32_t at = 0; at < part->dim; at++) {
            float x = value_load(raw, type, first + at);

            x = value_is_finite(x) ? x * inverse : 0.0f;
            squares[at] += x * x;
        }
    }
    for (uint32_t at = 0; at < part->dim; at++)
        squares[at] /= (float)part->tokens;
}

/*
 * Geometric mean of the channels' root mean squares; the bits of floats serve as logarithms.
 * All-zero channels do not count.
 */
CODEC_FN float rice_head_scale(const float *squares, uint32_t dim)
{
    uint64_t sum = 0;
    uint32_t count = 0;

    for (uint32_t at = 0; at < dim; at++)
        if (squares[at] >= 0x1p-60f) {
            sum += float_bits(squares[at]);
            count++;
        }
    return count ? sqrtf(float_of_bits((uint32_t)(sum / count))) : 0.0f;
}

/* The best parameter for Gaussian numbers: log2(2.1 × rms / step), rounded down. */
CODEC_FN uint32_t rice_parameter(float ratio_square)
{
    uint32_t exponent = float_bits(4.5f * ratio_square) >> 23;

    return exponent < 127 ? 0 : exponent - 127 > 30 ? 15 : (exponent - 127) / 2;
}

#endif
