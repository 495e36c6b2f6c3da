/* SPDX-License-Identifier: MIT */
/*
 * Values as multiples of one scale: fp16 and bf16 for fp32 (no scale), int8 with a scale for each
 * row, e4m3 with a scale for each head. Host and device call the same functions on the same rows.
 *
 * A scale is rounded up, so the largest value of its row stays within the range, and half a step
 * bounds every error. Values that are not finite, or beyond the largest scale, take the nearest
 * code and are counted.
 */
#ifndef KERNELS_CODEC_SCALED_H
#define KERNELS_CODEC_SCALED_H

#include "kernels/codec/part.h"

#if defined(__F16C__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

#define INT8_MAX_CODE 127.0f
#define E4M3_MAX      448.0f

/* Bytes of a payload. */
CODEC_FN size_t narrow_bytes(const struct codec_part *part)
{
    return part_values(part) * 2;
}

CODEC_FN size_t int8_bytes(const struct codec_part *part)
{
    return part_rows(part) * 2 + part_values(part);
}

CODEC_FN size_t fp8_bytes(const struct codec_part *part)
{
    return part->heads * sizeof(float) + part_values(part);
}

/* Largest |x| of a row as bits; non-finite values are above all others. */
CODEC_FN int32_t row_magnitude(const void *raw, size_t first, uint32_t dim, int type)
{
    int32_t most = 0;

    for (uint32_t at = 0; at < dim; at++) {
        int32_t bits = (int32_t)(float_bits(value_load(raw, type, first + at)) & 0x7fffffff);

        most = bits > most ? bits : most;
    }
    return most;
}

/* The same of the finite values alone. */
CODEC_FN int32_t row_magnitude_finite(const void *raw, size_t first, uint32_t dim, int type)
{
    int32_t most = 0;

    for (uint32_t at = 0; at < dim; at++) {
        int32_t bits = (int32_t)(float_bits(value_load(raw, type, first + at)) & 0x7fffffff);

        bits = bits < (int32_t)FLOAT_INFINITY_BITS ? bits : 0;
        most = bits > most ? bits : most;
    }
    return most;
}

CODEC_FN float scale_inverse(float scale)
{
    return scale > 0.0f ? 1.0f / scale : 0.0f;
}

/* A value in units of a scale, clamped to ±limit; counts clamped values. */
CODEC_FN float value_clamp(float x, float inverse, float limit, uint64_t *saturated)
{
    float scaled = value_tame(x) * inverse;
    int beyond = !value_is_finite(x) || float_magnitude(scaled) > limit * 1.001f;

    *saturated += (uint64_t)beyond;
    scaled = scaled > limit ? limit : scaled;
    return scaled < -limit ? -limit : scaled;
}

/* The scale of a row, fp16, from its largest finite |x|. */
CODEC_FN uint16_t int8_scale(int32_t most)
{
    return float_to_half_up(float_of_bits((uint32_t)most) / INT8_MAX_CODE);
}

/* Whether every value of a row is within its scale, so that none needs clamping. */
CODEC_FN int int8_is_plain(int32_t most, uint16_t half)
{
    return most < (int32_t)FLOAT_INFINITY_BITS && half < 0x7bff;
}

CODEC_FN int32_t int8_code(float x, float inverse)
{
    return float_round(x * inverse);
}

CODEC_FN int32_t int8_code_moved(float x, float inverse, uint64_t *saturated)
{
    return float_round(value_clamp(x, inverse, INT8_MAX_CODE, saturated));
}

/* One row as int8; the scale is returned as fp16. */
CODEC_FN void int8_row_encode(const void *raw, size_t first, uint32_t dim, uint16_t *ret_scale,
                              int8_t *codes, uint64_t *saturated, int type)
{
    int32_t most = row_magnitude(raw, first, dim, type), finite = most;

    if (most >= (int32_t)FLOAT_INFINITY_BITS)
        finite = row_magnitude_finite(raw, first, dim, type);
    uint16_t half = int8_scale(finite);
    float inverse = scale_inverse(half_to_float(half));
    *ret_scale = half;
    if (int8_is_plain(most, half)) {
        for (uint32_t at = 0; at < dim; at++)
            codes[at] = (int8_t)int8_code(value_load(raw, type, first + at), inverse);
        return;
    }
    for (uint32_t at = 0; at < dim; at++)
        codes[at] = (int8_t)int8_code_moved(value_load(raw, type, first + at), inverse, saturated);
}

#if defined(__F16C__) && !defined(__CUDACC__)
/* The processor's conversion: the same bits, because its operand is finite and in range. */
CODEC_FN void int8_row_decode_half(const int8_t *codes, float scale, uint16_t *row, uint32_t dim)
{
    __m256 factor = _mm256_set1_ps(scale), most = _mm256_set1_ps(HALF_MAX);

    for (uint32_t at = 0; at < dim; at += 8) {
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(codes + at));
        __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), factor);

        x = _mm256_max_ps(_mm256_min_ps(x, most), _mm256_sub_ps(_mm256_setzero_ps(), most));
        _mm_storeu_si128((__m128i *)(row + at), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }
}
#endif

CODEC_FN void int8_row_decode(const int8_t *codes, uint16_t half, void *raw, size_t first,
                              uint32_t dim, int type)
{
    float scale = half_to_float(half);
#if defined(__F16C__) && !defined(__CUDACC__)
    if (type == CUPOOL_CODEC_TYPE_F16) {
        int8_row_decode_half(codes, scale, (uint16_t *)raw + first, dim);
        return;
    }
#endif
    for (uint32_t at = 0; at < dim; at++)
        value_store(raw, type, first + at, (float)codes[at] * scale);
}

CODEC_FN int fp8_scale_is_sound(float scale)
{
    return scale >= 0.0f && value_is_finite(scale);
}

/* The scale of a head from the largest finite |x| of all of its rows. */
CODEC_FN float fp8_scale(int32_t most)
{
    float scale = float_of_bits((uint32_t)most) / E4M3_MAX;

    return scale < 0x1p-100f && most > 0 ? 0x1p-100f : scale;
}

CODEC_FN uint8_t fp8_code(float x, float inverse, uint64_t *saturated)
{
    float scaled = value_tame(x) * inverse;

    *saturated += !value_is_finite(x);
    scaled = scaled > E4M3_MAX ? E4M3_MAX : scaled;
    return float_to_e4m3(scaled < -E4M3_MAX ? -E4M3_MAX : scaled);
}

CODEC_FN void fp8_row_encode(const void *raw, size_t first, uint32_t dim, float scale,
                             uint8_t *codes, uint64_t *saturated, int type)
{
    float inverse = scale_inverse(scale);
    uint64_t moved = 0;

    for (uint32_t at = 0; at < dim; at++)
        codes[at] = fp8_code(value_load(raw, type, first + at), inverse, &moved);
    *saturated += moved;
}

CODEC_FN void fp8_row_decode(const uint8_t *codes, float scale, void *raw, size_t first,
                             uint32_t dim, int type)
{
    for (uint32_t at = 0; at < dim; at++)
        value_store(raw, type, first + at, e4m3_to_float(codes[at]) * scale);
}

/* Whether a finite value is beyond a narrower type. */
CODEC_FN uint32_t narrow_moves(float x, int type)
{
    uint32_t most = type == CUPOOL_CODEC_TYPE_F16 ? 0x477ff000u : 0x7f7f8000u;
    uint32_t magnitude = float_bits(x) & 0x7fffffff;

    return magnitude >= most && magnitude < FLOAT_INFINITY_BITS;
}

/* Converts fp32 to a type of half the size; infinity and NaN are preserved. */
CODEC_FN void narrow_row_encode(const float *raw, size_t first, uint32_t dim, uint16_t *codes,
                                uint64_t *saturated, int type)
{
    uint32_t moved = 0;

    for (uint32_t at = 0; at < dim; at++) {
        moved += narrow_moves(raw[first + at], type);
        value_store(codes, type, first + at, raw[first + at]);
    }
    *saturated += moved;
}

#endif
