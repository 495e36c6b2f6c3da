/* SPDX-License-Identifier: MIT */
/*
 * Lossless fp16 and bf16: the 16 most frequent exponents of a part have codes of four bits; values
 * with another exponent are listed with position and exponent. Sign and mantissa are kept, so every
 * bit pattern is restored, NaN payloads included.
 *
 * Payload: codebook [16], escapes uint32, codes [n/2] (even value in the low half), low planes [n],
 * for fp16 the three remaining bits [3n/8], then positions uint32 [escapes] and exponents uint8
 * [escapes]. All but the last two have a fixed position, so any value can be decoded alone.
 */
#ifndef KERNELS_CODEC_LOSSLESS_H
#define KERNELS_CODEC_LOSSLESS_H

#include "kernels/codec/part.h"

#define LOSSLESS_BOOK         16
#define LOSSLESS_ESCAPE_BYTES 5

struct lossless_layout {
    size_t codes, low, rest, places; /* offsets; exponents follow the places */
};

CODEC_FN struct lossless_layout lossless_layout(size_t count, int type)
{
    struct lossless_layout layout;

    layout.codes = LOSSLESS_BOOK + 4;
    layout.low = layout.codes + count / 2;
    layout.rest = layout.low + count;
    layout.places = layout.rest + (type == CUPOOL_CODEC_TYPE_F16 ? count / 8 * 3 : 0);
    layout.places = (layout.places + 3) / 4 * 4;
    return layout;
}

CODEC_FN uint32_t lossless_exponent(uint32_t pattern, int type)
{
    return type == CUPOOL_CODEC_TYPE_F16 ? pattern >> 10 & 0x1f : pattern >> 7 & 0xff;
}

/* The eight bits that stay as they are. */
CODEC_FN uint32_t lossless_low(uint32_t pattern, int type)
{
    return type == CUPOOL_CODEC_TYPE_F16 ? pattern & 0xff
                                         : (pattern & 0x7f) | (pattern >> 8 & 0x80);
}

/* fp16: sign and the two highest bits of the mantissa. */
CODEC_FN uint32_t lossless_rest(uint32_t pattern)
{
    return (pattern >> 8 & 3) | (pattern >> 13 & 4);
}

CODEC_FN uint32_t lossless_pattern(uint32_t exponent, uint32_t low, uint32_t rest, int type)
{
    if (type == CUPOOL_CODEC_TYPE_F16)
        return (rest & 4) << 13 | exponent << 10 | (rest & 3) << 8 | low;
    return (low & 0x80) << 8 | exponent << 7 | (low & 0x7f);
}

/* Eight values at once. */
CODEC_FN void lossless_rest_put(const uint16_t *patterns, uint8_t *out)
{
    uint32_t bits = 0;

    for (uint32_t at = 0; at < 8; at++)
        bits |= lossless_rest(patterns[at]) << 3 * at;
    out[0] = (uint8_t)bits;
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)(bits >> 16);
}

CODEC_FN uint32_t lossless_rest_get(const uint8_t *in)
{
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16;
}

#endif
