/* SPDX-License-Identifier: MIT */
/*
 * Kernels of scaled.h. int8: a team of lanes for each row. fp8: a warp for each head, which
 * computes the scale before the codes. fp16 and bf16: any values.
 */
#include "kernels/codec/lanes.cuh"
#include "kernels/codec/scaled.h"

/* ---- int8 ---- */

struct int8_rows {
    uint16_t *scales;
    uint8_t *codes;
    uint32_t raw_whole, codes_whole, team;
};

KERNEL_INLINE struct int8_rows int8_rows_of(const struct codec_unit *unit, int type)
{
    struct int8_rows rows;
    rows.scales = (uint16_t *)unit->encoded;
    rows.codes = unit->encoded + part_rows(&unit->part) * 2;
    rows.raw_whole = raw_is_whole(unit->raw, type);
    rows.codes_whole = is_whole(rows.codes, 4);
    rows.team = row_team(unit->part.dim);
    return rows;
}

/* Largest |x| of a lane's channels, and of those that are finite. */
KERNEL_INLINE void lane_magnitudes(const struct codec_unit *unit, size_t row, uint32_t first,
                                   uint32_t step, uint32_t whole, int32_t *most, int32_t *finite,
                                   int type)
{
    for (uint32_t at = first; at < unit->part.dim; at += step) {
        float x[4];
        four_load(unit->raw, type, row * unit->part.dim + at, whole, x);
        for (uint32_t each = 0; each < 4; each++) {
            int32_t bits = (int32_t)(float_bits(x[each]) & 0x7fffffff);
            int32_t tame = bits < (int32_t)FLOAT_INFINITY_BITS ? bits : 0;
            *most = bits > *most ? bits : *most;
            *finite = tame > *finite ? tame : *finite;
        }
    }
}

KERNEL_INLINE void int8_lane_encode(const struct codec_unit *unit, const struct int8_rows *rows,
                                    size_t row, uint32_t first, int32_t most, uint16_t half,
                                    int type)
{
    float inverse = scale_inverse(half_to_float(half));
    int plain = int8_is_plain(most, half);
    uint64_t moved = 0;
    for (uint32_t at = first; at < unit->part.dim; at += rows->team * 4) {
        size_t element = row * unit->part.dim + at;
        uint32_t codes = 0;
        float x[4];
        four_load(unit->raw, type, element, rows->raw_whole, x);
        for (uint32_t each = 0; each < 4; each++) {
            int32_t code = plain ? int8_code(x[each], inverse)
                                 : int8_code_moved(x[each], inverse, &moved);
            codes |= ((uint32_t)code & 0xff) << 8 * each;
        }
        bytes_store(rows->codes + element, rows->codes_whole, codes);
    }
    unit_saturated(unit, moved);
}

KERNEL_INLINE void int8_unit_encode(const struct codec_unit *unit, struct no_scratch *scratch,
                                    int type)
{
    const struct int8_rows rows = int8_rows_of(unit, type);
    const size_t from = unit->at * unit_rows(unit->part.dim);
    const size_t end = from + unit_rows(unit->part.dim), all = part_rows(&unit->part);
    const size_t to = end < all ? end : all;
    for (size_t base = from; base < to; base += KERNEL_WARP / rows.team) {
        WARP_EACH(int32_t, most);
        WARP_EACH(int32_t, finite);
        WARP_LANES(lane)
        {
            size_t row = base + lane / rows.team;
            WARP_OWN(most, lane) = 0;
            WARP_OWN(finite, lane) = 0;
            if (row < to)
                lane_magnitudes(unit, row, lane % rows.team * 4, rows.team * 4, rows.raw_whole,
                                &WARP_OWN(most, lane), &WARP_OWN(finite, lane), type);
        }
        warp_maximum(most, rows.team);
        warp_maximum(finite, rows.team);
        WARP_LANES(lane)
        {
            size_t row = base + lane / rows.team;
            uint16_t half = int8_scale(WARP_OWN(finite, lane));
            if (row < to && lane % rows.team == 0)
                rows.scales[row] = half;
            if (row < to)
                int8_lane_encode(unit, &rows, row, lane % rows.team * 4, WARP_OWN(most, lane), half,
                                 type);
        }
    }
}

KERNEL_INLINE void int8_unit_decode(const struct codec_unit *unit, struct no_scratch *scratch,
                                    int type)
{
    const struct int8_rows rows = int8_rows_of(unit, type);
    const uint32_t dim = unit->part.dim;
    const size_t from = unit->at * unit_rows(dim), end = from + unit_rows(dim);
    const size_t all = part_rows(&unit->part), to = end < all ? end : all;
    WARP_LANES(lane)
    {
        for (size_t row = from + lane / rows.team; row < to; row += KERNEL_WARP / rows.team) {
            float scale = half_to_float(rows.scales[row]);
            if (rows.scales[row] >= 0x7c00)
                unit_refuse(unit);
            for (uint32_t at = lane % rows.team * 4; at < dim; at += rows.team * 4) {
                uint32_t codes = bytes_load(rows.codes + row * dim + at, rows.codes_whole);
                float x[4];
                for (uint32_t each = 0; each < 4; each++)
                    x[each] = (float)(int8_t)(codes >> 8 * each) * scale;
                four_store(unit->raw_out, type, row * dim + at, rows.raw_whole, x);
            }
        }
    }
}

CODEC_KERNEL(cupool_int8_encode, int8_unit_encode, struct no_scratch)
CODEC_KERNEL(cupool_int8_decode, int8_unit_decode, struct no_scratch)

/* ---- fp8 ---- */

KERNEL_INLINE void fp8_lane_encode(const struct codec_unit *unit, size_t row, uint32_t first,
                                   uint32_t step, uint32_t whole, float inverse, int type)
{
    uint8_t *all = unit->encoded + unit->part.heads * sizeof(float);
    uint64_t moved = 0;
    for (uint32_t at = first; at < unit->part.dim; at += step) {
        size_t element = row * unit->part.dim + at;
        uint32_t codes = 0;
        float x[4];
        four_load(unit->raw, type, element, whole, x);
        for (uint32_t each = 0; each < 4; each++)
            codes |= (uint32_t)fp8_code(x[each], inverse, &moved) << 8 * each;
        bytes_store(all + element, 1, codes);
    }
    unit_saturated(unit, moved);
}

KERNEL_INLINE void fp8_unit_encode(const struct codec_unit *unit, struct no_scratch *scratch,
                                   int type)
{
    const struct codec_part *part = &unit->part;
    const uint32_t team = row_team(part->dim), whole = raw_is_whole(unit->raw, type);
    WARP_EACH(int32_t, most);
    WARP_EACH(int32_t, finite);
    WARP_LANES(lane)
    {
        WARP_OWN(most, lane) = 0;
        WARP_OWN(finite, lane) = 0;
        for (uint32_t token = lane / team; token < part->tokens; token += KERNEL_WARP / team)
            lane_magnitudes(unit, part_row(part, unit->at, token), lane % team * 4, team * 4, whole,
                            &WARP_OWN(most, lane), &WARP_OWN(finite, lane), type);
    }
    warp_maximum(finite, KERNEL_WARP);
    WARP_LANES(lane)
    {
        float scale = fp8_scale(WARP_OWN(finite, lane)), inverse = scale_inverse(scale);
        if (lane == 0)
            ((float *)unit->encoded)[unit->at] = scale;
        for (uint32_t token = lane / team; token < part->tokens; token += KERNEL_WARP / team)
            fp8_lane_encode(unit, part_row(part, unit->at, token), lane % team * 4, team * 4, whole,
                            inverse, type);
    }
}

KERNEL_INLINE void fp8_lane_decode(const struct codec_unit *unit, size_t row, uint32_t first,
                                   uint32_t step, uint32_t whole, float scale, int type)
{
    const uint8_t *all = unit->encoded + unit->part.heads * sizeof(float);
    for (uint32_t at = first; at < unit->part.dim; at += step) {
        size_t element = row * unit->part.dim + at;
        uint32_t codes = bytes_load(all + element, 1);
        float x[4];
        for (uint32_t each = 0; each < 4; each++) {
            uint8_t code = (uint8_t)(codes >> 8 * each);
            if ((code & 0x7f) == 0x7f)
                unit_refuse(unit);
            x[each] = e4m3_to_float(code) * scale;
        }
        four_store(unit->raw_out, type, element, whole, x);
    }
}

KERNEL_INLINE void fp8_unit_decode(const struct codec_unit *unit, struct no_scratch *scratch,
                                   int type)
{
    const struct codec_part *part = &unit->part;
    const uint32_t team = row_team(part->dim), whole = raw_is_whole(unit->raw, type);
    WARP_LANES(lane)
    {
        float scale = ((const float *)unit->encoded)[unit->at];
        if (!fp8_scale_is_sound(scale))
            unit_refuse(unit);
        for (uint32_t token = lane / team; token < part->tokens; token += KERNEL_WARP / team)
            fp8_lane_decode(unit, part_row(part, unit->at, token), lane % team * 4, team * 4, whole,
                            scale, type);
    }
}

CODEC_KERNEL(cupool_fp8_encode, fp8_unit_encode, struct no_scratch)
CODEC_KERNEL(cupool_fp8_decode, fp8_unit_decode, struct no_scratch)

/* ---- fp16 and bf16 for fp32 ---- */

KERNEL_INLINE void narrow_unit_encode(const struct codec_unit *unit, int target)
{
    const size_t from = unit->at * UNIT_VALUES, all = part_values(&unit->part);
    const size_t to = from + UNIT_VALUES < all ? from + UNIT_VALUES : all;
    const uint32_t whole = raw_is_whole(unit->raw, CUPOOL_CODEC_TYPE_F32);
    WARP_LANES(lane)
    {
        uint64_t moved = 0;
        for (size_t at = from + lane * 4; at < to; at += KERNEL_WARP * 4) {
            float x[4];
            four_load(unit->raw, CUPOOL_CODEC_TYPE_F32, at, whole, x);
            for (uint32_t each = 0; each < 4; each++)
                moved += narrow_moves(x[each], target);
            four_store(unit->encoded, target, at, 1, x);
        }
        unit_saturated(unit, moved);
    }
}

KERNEL_INLINE void narrow_unit_decode(const struct codec_unit *unit, int target)
{
    const size_t from = unit->at * UNIT_VALUES, all = part_values(&unit->part);
    const size_t to = from + UNIT_VALUES < all ? from + UNIT_VALUES : all;
    const uint32_t whole = raw_is_whole(unit->raw, CUPOOL_CODEC_TYPE_F32);
    WARP_LANES(lane)
    {
        for (size_t at = from + lane * 4; at < to; at += KERNEL_WARP * 4) {
            float x[4];
            four_load(unit->encoded, target, at, 1, x);
            four_store(unit->raw_out, CUPOOL_CODEC_TYPE_F32, at, whole, x);
        }
    }
}

#define NARROW_KERNEL(name, unit_function, target)                                                 \
    KERNEL_INLINE void name##_warp(struct kernel_place place,                                      \
                                   const struct codec_arguments *arguments,                        \
                                   struct no_scratch *scratch)                                     \
    {                                                                                              \
        for (uint64_t number = place.warp; number < arguments->units; number += place.warps) {     \
            const struct codec_unit unit = unit_of(arguments, number);                             \
            unit_function(&unit, target);                                                          \
        }                                                                                          \
    }                                                                                              \
    KERNEL_WARP_DEFINE(name, struct codec_arguments, struct no_scratch)
NARROW_KERNEL(cupool_fp16_encode, narrow_unit_encode, CUPOOL_CODEC_TYPE_F16)
NARROW_KERNEL(cupool_fp16_decode, narrow_unit_decode, CUPOOL_CODEC_TYPE_F16)
NARROW_KERNEL(cupool_bf16_encode, narrow_unit_encode, CUPOOL_CODEC_TYPE_BF16)
NARROW_KERNEL(cupool_bf16_decode, narrow_unit_decode, CUPOOL_CODEC_TYPE_BF16)
#undef NARROW_KERNEL
