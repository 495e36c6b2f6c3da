/* SPDX-License-Identifier: MIT */
/*
 * Element types of the codecs, for the host's compilers and nvcc: the same source gives the same
 * bits. Conversions are integer arithmetic or single correctly rounded operations. No operand is
 * ever a subnormal float, so flushing modes make no difference. There are no branches, so loops
 * become vector code.
 *
 * Built with -ffp-contract=off and -fmad=false: a fused multiply-add would round differently.
 */
#ifndef KERNELS_CODEC_VALUE_H
#define KERNELS_CODEC_VALUE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "include/cupool/codec.h"

#ifdef __CUDACC__
#define CODEC_FN static __device__ __forceinline__
#else
#define CODEC_FN static inline __attribute__((always_inline, unused))
#endif

#define FLOAT_INFINITY_BITS 0x7f800000u
#define HALF_MAX            65504.0f
/* Adding and reading the low bits rounds |x| < 2^22 to the nearest integer, ties to even. */
#define ROUND_MAGIC      12582912.0f
#define ROUND_MAGIC_BITS 0x4b400000

CODEC_FN uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

CODEC_FN float float_of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

CODEC_FN int32_t float_round(float x)
{
    return (int32_t)float_bits(x + ROUND_MAGIC) - ROUND_MAGIC_BITS;
}

#ifdef __CUDACC__
/* The device's conversions of finite numbers, exact or rounded to nearest: the same bits as
 * below. */
CODEC_FN float half_convert(uint16_t half)
{
    float x;

    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(half));
    return x;
}

CODEC_FN uint16_t half_round(float x)
{
    uint16_t half;

    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
    return half;
}

CODEC_FN float half_to_float(uint16_t half)
{
    uint32_t special = (uint32_t)(half & 0x8000) << 16 |
                       ((uint32_t)(half & 0x7fff) << 13) + (224u << 23);

    return (half & 0x7c00) == 0x7c00 ? float_of_bits(special) : half_convert(half);
}

CODEC_FN uint16_t float_to_half(float x)
{
    uint32_t sign = float_bits(x) >> 16 & 0x8000, magnitude = float_bits(x) & 0x7fffffff;
    uint32_t tame = magnitude < 0x477fe000u ? magnitude : 0x477fe000u; /* the largest half */
    uint32_t bits = half_round(float_of_bits(tame));

    bits = magnitude == FLOAT_INFINITY_BITS ? 0x7c00 : bits;
    bits = magnitude > FLOAT_INFINITY_BITS ? 0x7e00 : bits;
    return (uint16_t)(sign | bits);
}
#else
CODEC_FN float half_to_float(uint16_t half)
{
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    uint32_t normal = magnitude + (112u << 23);
    uint32_t special = magnitude + (224u << 23);
    uint32_t small = float_bits(float_of_bits(magnitude + (113u << 23)) - 0x1p-14f);
    uint32_t bits = magnitude >= (31u << 23) ? special : normal;

    bits = magnitude < (1u << 23) ? small : bits;
    return float_of_bits(bits | (uint32_t)(half & 0x8000) << 16);
}

/* Finite values beyond the range become the largest; infinity and NaN are preserved. */
CODEC_FN uint16_t float_to_half(float x)
{
    uint32_t sign = float_bits(x) >> 16 & 0x8000;
    uint32_t magnitude = float_bits(x) & 0x7fffffff;
    uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - (112u << 23)) >> 13;
    uint32_t tiny = magnitude < (1u << 23) ? 0 : magnitude;
    uint32_t small = float_bits(float_of_bits(tiny < (113u << 23) ? tiny : 0) + 0.5f) -
                     (126u << 23);
    uint32_t bits = magnitude < (113u << 23) ? small : normal;

    bits = bits > 0x7bff ? 0x7bff : bits;
    bits = magnitude == FLOAT_INFINITY_BITS ? 0x7c00 : bits;
    bits = magnitude > FLOAT_INFINITY_BITS ? 0x7e00 : bits;
    return (uint16_t)(sign | bits);
}
#endif

/* The smallest half that is not below x; 0 <= x <= the largest half. */
CODEC_FN uint16_t float_to_half_up(float x)
{
    uint16_t half = float_to_half(x > HALF_MAX ? HALF_MAX : x);
    uint16_t up = (uint16_t)(half + (half_to_float(half) < x && half < 0x7bff));

    return x > 0.0f && up == 0 ? (uint16_t)1 : up;
}

/* The largest finite half that is not above x. */
CODEC_FN uint16_t float_to_half_down(float x)
{
    uint16_t half = float_to_half(x);

    if (half_to_float(half) <= x || half == 0xfbff)
        return half;
    if (half == 0)
        return 0x8001;
    return (uint16_t)(half & 0x8000 ? half + 1 : half - 1);
}

CODEC_FN float bf16_to_float(uint16_t value)
{
    return float_of_bits((uint32_t)value << 16);
}

CODEC_FN uint16_t float_to_bf16(float x)
{
    uint32_t sign = float_bits(x) >> 16 & 0x8000;
    uint32_t magnitude = float_bits(x) & 0x7fffffff;
    uint32_t bits = (magnitude + 0x7fff + (magnitude >> 16 & 1)) >> 16;

    bits = bits > 0x7f7f ? 0x7f7f : bits;
    bits = magnitude == FLOAT_INFINITY_BITS ? 0x7f80 : bits;
    bits = magnitude > FLOAT_INFINITY_BITS ? 0x7fc0 : bits;
    return (uint16_t)(sign | bits);
}

/* e4m3 without infinity; |x| <= 448, and x is not NaN. */
CODEC_FN uint8_t float_to_e4m3(float x)
{
    uint32_t sign = float_bits(x) >> 24 & 0x80;
    uint32_t magnitude = float_bits(x) & 0x7fffffff;
    uint32_t normal = (magnitude + 0x7ffff + (magnitude >> 20 & 1) - (120u << 23)) >> 20;
    uint32_t tiny = magnitude < (1u << 23) ? 0 : magnitude;
    uint32_t small = float_bits(float_of_bits(tiny < (121u << 23) ? tiny : 0) + 0x1p14f) -
                     (141u << 23);
    uint32_t bits = magnitude < (121u << 23) ? small : normal;

    return (uint8_t)(sign | (bits > 0x7e ? 0x7e : bits));
}

CODEC_FN float e4m3_to_float(uint8_t value)
{
    uint32_t magnitude = (uint32_t)(value & 0x7f) << 20;
    uint32_t small = float_bits(float_of_bits(magnitude + (121u << 23)) - 0x1p-6f);
    uint32_t bits = magnitude < (1u << 23) ? small : magnitude + (120u << 23);

    return float_of_bits(bits | (uint32_t)(value & 0x80) << 24);
}

/* Element `at` of an array of `type`, which is constant where these are inlined. */
CODEC_FN float value_load(const void *raw, int type, size_t at)
{
    if (type == CUPOOL_CODEC_TYPE_F16)
        return half_to_float(((const uint16_t *)raw)[at]);
    if (type == CUPOOL_CODEC_TYPE_BF16)
        return bf16_to_float(((const uint16_t *)raw)[at]);
    return ((const float *)raw)[at];
}

CODEC_FN void value_store(void *raw, int type, size_t at, float x)
{
    if (type == CUPOOL_CODEC_TYPE_F16)
        ((uint16_t *)raw)[at] = float_to_half(x);
    else if (type == CUPOOL_CODEC_TYPE_BF16)
        ((uint16_t *)raw)[at] = float_to_bf16(x);
    else
        ((float *)raw)[at] = x;
}

CODEC_FN size_t value_bytes(int type)
{
    return type == CUPOOL_CODEC_TYPE_F32 ? 4 : 2;
}

/* Substitute for a value that a quantiser cannot represent: NaN is 0, infinity the largest. */
CODEC_FN float value_tame(float x)
{
    uint32_t magnitude = float_bits(x) & 0x7fffffff;

    if (magnitude > FLOAT_INFINITY_BITS)
        return 0.0f;
    return magnitude == FLOAT_INFINITY_BITS ? float_of_bits(float_bits(x) - 1) : x;
}

CODEC_FN int value_is_finite(float x)
{
    return (float_bits(x) & 0x7fffffff) < FLOAT_INFINITY_BITS;
}

CODEC_FN float float_magnitude(float x)
{
    return float_of_bits(float_bits(x) & 0x7fffffff);
}

#endif
