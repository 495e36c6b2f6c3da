/* SPDX-License-Identifier: MIT */
/*
 * Keys by channel: each channel of a head has a range over up to 32 tokens. A channel of wide range
 * (more than three times the median of its head), and every channel of layer 0, is an outlier and
 * has eight bits: the low four lie among those of the other channels, the high four after them.
 *
 * Payload: outlier bits [heads][dim/8], ranges [heads][groups][dim], codes [rows][dim/2], then
 * for each head and outlier channel the high halves of its tokens, two to a byte.
 */
#ifndef KERNELS_CODEC_CHANNEL_H
#define KERNELS_CODEC_CHANNEL_H

#include "kernels/codec/quad.h"

#define CHANNEL_OUTLIER_RATIO 3.0f

CODEC_FN size_t channel_groups(const struct codec_part *part)
{
    return (part->tokens + CODEC_GROUP - 1) / CODEC_GROUP;
}

CODEC_FN size_t channel_ranges_at(const struct codec_part *part)
{
    return ((size_t)part->heads * part->dim / 8 + 3) / 4 * 4;
}

CODEC_FN size_t channel_codes_at(const struct codec_part *part)
{
    return channel_ranges_at(part) +
           part->heads * channel_groups(part) * part->dim * sizeof(struct quad_range);
}

CODEC_FN size_t channel_high_at(const struct codec_part *part)
{
    return channel_codes_at(part) + part_values(part) / 2;
}

CODEC_FN size_t channel_high_bytes(const struct codec_part *part)
{
    return (part->tokens + 1) / 2;
}

/* Every channel an outlier. */
CODEC_FN size_t channel_bytes(const struct codec_part *part)
{
    return channel_high_at(part) + (size_t)part->heads * part->dim * channel_high_bytes(part);
}

CODEC_FN uint32_t channel_is_outlier(const uint8_t *bits, size_t channel)
{
    return bits[channel / 8] >> (channel % 8) & 1;
}

/* Returns the value of rank `rank` among `count`, found bit by bit. */
CODEC_FN uint32_t rank_select(const uint32_t *bits, uint32_t count, uint32_t rank)
{
    uint32_t found = 0;

    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        uint32_t below = 0;

        for (uint32_t at = 0; at < count; at++)
            below += bits[at] < (found | bit);
        found |= below <= rank ? bit : 0;
    }
    return found;
}

/* Computes the ends of all channels over the tokens from `token`. */
CODEC_FN void channel_ends(const struct codec_part *part, const void *raw, size_t head,
                           uint32_t token, uint32_t count, int32_t *low, int32_t *high, int type)
{
    for (uint32_t at = 0; at < part->dim; at++) {
        low[at] = RANGE_EMPTY_LOW;
        high[at] = RANGE_EMPTY_HIGH;
    }
    for (uint32_t t = token; t < token + count; t++) {
        size_t first = part_row(part, head, t) * part->dim;

        for (uint32_t at = 0; at < part->dim; at++)
            range_widen(value_load(raw, type, first + at), &low[at], &high[at]);
    }
}

/* Half of how wide a channel is, as bits. */
CODEC_FN uint32_t channel_width(int32_t low, int32_t high)
{
    return low > high ? 0 : float_bits(float_of_order(high) * 0.5f - float_of_order(low) * 0.5f);
}

CODEC_FN uint32_t channel_is_wide(uint32_t width, float median)
{
    return float_of_bits(width) > CHANNEL_OUTLIER_RATIO * median;
}

/* Sets the outlier bits of a head and returns their count. */
CODEC_FN uint32_t channel_outliers(const struct codec_part *part, const void *raw, size_t head,
                                   uint8_t *bits, int type)
{
    int32_t low[CODEC_DIM_MAX], high[CODEC_DIM_MAX];
    uint32_t width[CODEC_DIM_MAX], outliers = 0;

    channel_ends(part, raw, head, 0, part->tokens, low, high, type);
    for (uint32_t at = 0; at < part->dim; at++)
        width[at] = channel_width(low[at], high[at]);
    float median = float_of_bits(rank_select(width, part->dim, part->dim / 2));
    for (uint32_t at = 0; at < part->dim; at++) {
        uint32_t wide = part->first_layer || channel_is_wide(width[at], median);

        bits[at / 8] = (uint8_t)((at % 8 ? bits[at / 8] : 0) | wide << at % 8);
        outliers += wide;
    }
    return outliers;
}

/* Codes one group of tokens of a head. `high` are the high halves of the head's outliers. */
CODEC_FN void channel_group_encode(const struct codec_part *part, const void *raw, size_t head,
                                   uint32_t token, const uint8_t *bits, struct quad_range *ranges,
                                   uint8_t *codes, uint8_t *high_codes, uint64_t *saturated,
                                   int type)
{
    int32_t low[CODEC_DIM_MAX], high[CODEC_DIM_MAX];
    uint32_t count = part->tokens - token < CODEC_GROUP ? part->tokens - token : CODEC_GROUP;
    size_t stride = channel_high_bytes(part);

    channel_ends(part, raw, head, token, count, low, high, type);
    for (uint32_t at = 0; at < part->dim; at++)
        ranges[at] = range_close(low[at], high[at], channel_is_outlier(bits, at) ? 255.0f : 15.0f);
    for (uint32_t t = token; t < token + count; t++) {
        size_t row = part_row(part, head, t);
        uint32_t outlier = 0, code = 0, even = 0;

        for (uint32_t at = 0; at < part->dim; at++) {
            uint32_t wide = channel_is_outlier(bits, at);

            code = range_code(value_load(raw, type, row * part->dim + at),
                              half_to_float(ranges[at].low), range_inverse(ranges[at]),
                              wide ? 255.0f : 15.0f, saturated);
            if (wide) {
                uint8_t *place = &high_codes[outlier++ * stride + t / 2];

                *place = (uint8_t)(t % 2 ? *place | (code >> 4) << 4 : code >> 4);
            }
            if (at % 2)
                codes[(row * part->dim + at) / 2] = (uint8_t)(even | (code & 15) << 4);
            even = code & 15;
        }
    }
}

CODEC_FN void channel_row_decode(const struct codec_part *part, size_t head, uint32_t token,
                                 const uint8_t *bits, const struct quad_range *ranges,
                                 const uint8_t *codes, const uint8_t *high_codes, void *raw,
                                 int type)
{
    size_t row = part_row(part, head, token), stride = channel_high_bytes(part);
    uint32_t outlier = 0;

    for (uint32_t at = 0; at < part->dim; at++) {
        size_t element = row * part->dim + at;
        uint32_t code = codes[element / 2] >> (at % 2 * 4) & 15;

        if (channel_is_outlier(bits, at))
            code |= (high_codes[outlier++ * stride + token / 2] >> (token % 2 * 4) & 15u) << 4;
        value_store(
            raw, type, element,
            range_value(code, half_to_float(ranges[at].low), half_to_float(ranges[at].step)));
    }
}

#endif
