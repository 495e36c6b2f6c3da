/* SPDX-License-Identifier: MIT */
/*
 * Kernels of rotated.h: eight lanes for each row, which sum eight channels apart as the host does;
 * up to four rows at once, as many as fit a warp's memory.
 */
#include "kernels/codec/lanes.cuh"
#include "kernels/codec/rotated.h"

#define ROTATED_TEAM   8u
#define ROTATED_PAD    8u /* floats between rows: the four teams of a warp hit other banks */
#define ROTATED_FLOATS (CODEC_DIM_MAX + 4 * ROTATED_PAD)

struct rotated_scratch {
    float rows[ROTATED_FLOATS];
};

KERNEL_INLINE uint32_t rotated_at_once(uint32_t dim)
{
    uint32_t fit = ROTATED_FLOATS / (dim + ROTATED_PAD);
    return fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
}

/* The rows that a warp has now, and a lane's place in them. */
struct rotated_pass {
    size_t base, to;
    uint32_t dim, at_once, whole;
};

KERNEL_INLINE size_t rotated_row(const struct rotated_pass *pass, uint32_t lane)
{
    return pass->base + lane / ROTATED_TEAM;
}

KERNEL_INLINE uint32_t rotated_has_row(const struct rotated_pass *pass, uint32_t lane)
{
    return lane / ROTATED_TEAM < pass->at_once && rotated_row(pass, lane) < pass->to;
}

/* A lane's row in the scratch. */
KERNEL_INLINE float *rotated_memory(const struct rotated_pass *pass,
                                    struct rotated_scratch *scratch, uint32_t lane)
{
    uint32_t slot = lane / ROTATED_TEAM < pass->at_once ? lane / ROTATED_TEAM : 0;
    return scratch->rows + slot * (pass->dim + ROTATED_PAD);
}

KERNEL_INLINE void rotated_hadamard(const struct rotated_pass *pass,
                                    struct rotated_scratch *scratch)
{
    const uint32_t block = rotation_block(pass->dim);
    for (uint32_t half = 1; half < block; half *= 2) {
        warp_sync();
        WARP_LANES(lane)
        {
            float *row = rotated_memory(pass, scratch, lane);
            uint32_t end = rotated_has_row(pass, lane) ? pass->dim / 2 : 0;
            for (uint32_t pair = lane % ROTATED_TEAM; pair < end; pair += ROTATED_TEAM) {
                uint32_t at = (pair & ~(half - 1)) * 2 + (pair & (half - 1));
                float a = row[at], b = row[at + half];
                row[at] = a + b;
                row[at + half] = a - b;
            }
        }
    }
    warp_sync();
}

/* row_square_sum() of each team's row. */
KERNEL_INLINE void rotated_square_sum(const struct rotated_pass *pass,
                                      struct rotated_scratch *scratch, float *each)
{
    WARP_LANES(lane)
    {
        const float *row = rotated_memory(pass, scratch, lane);
        uint32_t end = rotated_has_row(pass, lane) ? pass->dim : 0;
        float sum = 0.0f;
        for (uint32_t at = lane % ROTATED_TEAM; at < end; at += ROTATED_TEAM)
            sum += row[at] * row[at];
        WARP_OWN(each, lane) = sum;
    }
    warp_sum(each, ROTATED_TEAM);
}

/* Loads rows, clamps their values and flips their signs; returns the largest bits of each, and
 * how many values were clamped. */
KERNEL_INLINE void rotated_load(const struct codec_unit *unit, const struct rotated_pass *pass,
                                struct rotated_scratch *scratch, int32_t *most, uint32_t *odd,
                                int type)
{
    WARP_EACH(int32_t, finite);
    WARP_LANES(lane)
    {
        float *row = rotated_memory(pass, scratch, lane);
        uint32_t end = rotated_has_row(pass, lane) ? pass->dim : 0;
        int32_t largest = 0;
        for (uint32_t at = lane % ROTATED_TEAM * 4; at < end; at += ROTATED_TEAM * 4) {
            float x[4];
            four_load(unit->raw, type, rotated_row(pass, lane) * pass->dim + at, pass->whole, x);
            for (uint32_t each = 0; each < 4; each++) {
                int32_t bits = (int32_t)(float_bits(x[each]) & 0x7fffffff);
                bits = bits < (int32_t)FLOAT_INFINITY_BITS ? bits : 0;
                largest = bits > largest ? bits : largest;
                row[at + each] = x[each];
            }
        }
        WARP_OWN(finite, lane) = largest;
    }
    warp_maximum(finite, ROTATED_TEAM);
    WARP_LANES(lane)
    {
        float *row = rotated_memory(pass, scratch, lane);
        float limit = float_of_bits((uint32_t)WARP_OWN(finite, lane));
        uint32_t end = rotated_has_row(pass, lane) ? pass->dim : 0, moved = 0;
        int32_t largest = 0;
        for (uint32_t at = lane % ROTATED_TEAM * 4; at < end; at += ROTATED_TEAM * 4)
            for (uint32_t each = at; each < at + 4; each++) {
                moved += !value_is_finite(row[each]);
                row[each] = rotation_flip(row[each], limit, each);
                int32_t bits = (int32_t)(float_bits(row[each]) & 0x7fffffff);
                largest = bits > largest ? bits : largest;
            }
        WARP_OWN(most, lane) = largest;
        WARP_OWN(odd, lane) = moved;
    }
    warp_maximum(most, ROTATED_TEAM);
    warp_count(odd, ROTATED_TEAM);
    WARP_LANES(lane)
    {
        float *row = rotated_memory(pass, scratch, lane);
        float inverse = 1.0f / power_near((uint32_t)WARP_OWN(most, lane));
        uint32_t end = rotated_has_row(pass, lane) ? pass->dim : 0;
        for (uint32_t at = lane % ROTATED_TEAM * 4; at < end; at += ROTATED_TEAM * 4)
            for (uint32_t each = at; each < at + 4; each++)
                row[each] *= inverse;
    }
}

/* Codes of rotated rows; the levels take their place. */
KERNEL_INLINE void rotated_codes(const struct codec_unit *unit, const struct rotated_pass *pass,
                                 struct rotated_scratch *scratch, const float *square)
{
    uint8_t *codes = unit->encoded + part_rows(&unit->part) * 2;
    WARP_LANES(lane)
    {
        float *row = rotated_memory(pass, scratch, lane);
        float unit_length = rotation_unit(WARP_OWN(square, lane), pass->dim);
        uint32_t end = rotated_has_row(pass, lane) ? pass->dim : 0;
        for (uint32_t at = lane % ROTATED_TEAM * 4; at < end; at += ROTATED_TEAM * 4) {
            uint32_t four = 0;
            for (uint32_t each = 0; each < 4; each++) {
                uint32_t code = lloyd_code(row[at + each] * unit_length);
                row[at + each] = lloyd_level(code & 7);
                four |= code << 4 * each;
            }
            *(kernel_short *)(codes +
                              (rotated_row(pass, lane) * pass->dim + at) / 2) = (uint16_t)four;
        }
    }
    warp_sync();
}

KERNEL_INLINE void rotated_pass_encode(const struct codec_unit *unit,
                                       const struct rotated_pass *pass,
                                       struct rotated_scratch *scratch, int type)
{
    uint16_t *scales = (uint16_t *)unit->encoded;
    WARP_EACH(int32_t, most);
    WARP_EACH(uint32_t, odd);
    WARP_EACH(float, square);
    WARP_EACH(float, levels);
    rotated_load(unit, pass, scratch, most, odd, type);
    rotated_hadamard(pass, scratch);
    rotated_square_sum(pass, scratch, square);
    warp_sync();
    rotated_codes(unit, pass, scratch, square);
    rotated_square_sum(pass, scratch, levels);
    WARP_LANES(lane)
    {
        if (rotated_has_row(pass, lane) && lane % ROTATED_TEAM == 0) {
            float scale = rotation_scale(WARP_OWN(square, lane), WARP_OWN(levels, lane),
                                         power_near((uint32_t)WARP_OWN(most, lane)), pass->dim);
            scales[rotated_row(pass, lane)] = float_to_half(scale);
            unit_saturated(unit, rotation_is_beyond(scale) ? pass->dim : WARP_OWN(odd, lane));
        }
    }
    warp_sync();
}

KERNEL_INLINE void rotated_pass_decode(const struct codec_unit *unit,
                                       const struct rotated_pass *pass,
                                       struct rotated_scratch *scratch, int type)
{
    const uint16_t *scales = (const uint16_t *)unit->encoded;
    const uint8_t *codes = unit->encoded + part_rows(&unit->part) * 2;
    WARP_LANES(lane)
    {
        float *row = rotated_memory(pass, scratch, lane);
        uint32_t end = rotated_has_row(pass, lane) ? pass->dim : 0;
        for (uint32_t at = lane % ROTATED_TEAM * 4; at < end; at += ROTATED_TEAM * 4) {
            uint32_t four = *(const kernel_short *)(codes +
                                                    (rotated_row(pass, lane) * pass->dim + at) / 2);
            for (uint32_t each = 0; each < 4; each++)
                row[at + each] = lloyd_value(four >> 4 * each & 15);
        }
    }
    rotated_hadamard(pass, scratch);
    WARP_LANES(lane)
    {
        const float *row = rotated_memory(pass, scratch, lane);
        uint32_t end = rotated_has_row(pass, lane) ? pass->dim : 0;
        uint16_t half = end > 0 ? scales[rotated_row(pass, lane)] : 0;
        float scale = rotation_back(half, pass->dim);
        if (half >= 0x7c00)
            unit_refuse(unit);
        for (uint32_t at = lane % ROTATED_TEAM * 4; at < end; at += ROTATED_TEAM * 4) {
            float x[4];
            for (uint32_t each = 0; each < 4; each++)
                x[each] = row[at + each] * rotation_sign(at + each) * scale;
            four_store(unit->raw_out, type, rotated_row(pass, lane) * pass->dim + at, pass->whole,
                       x);
        }
    }
    warp_sync();
}

#define ROTATED_UNIT(name, pass_function)                                                          \
    KERNEL_INLINE void name(const struct codec_unit *unit, struct rotated_scratch *scratch,        \
                            int type)                                                              \
    {                                                                                              \
        const size_t rows = unit_rows(unit->part.dim), all = part_rows(&unit->part);               \
        struct rotated_pass pass;                                                                  \
        pass.dim = unit->part.dim;                                                                 \
        pass.at_once = rotated_at_once(pass.dim);                                                  \
        pass.whole = raw_is_whole(unit->raw, type);                                                \
        pass.to = (unit->at + 1) * rows < all ? (unit->at + 1) * rows : all;                       \
        for (pass.base = unit->at * rows; pass.base < pass.to; pass.base += pass.at_once)          \
            pass_function(unit, &pass, scratch, type);                                             \
    }
ROTATED_UNIT(rotated_unit_encode, rotated_pass_encode)
ROTATED_UNIT(rotated_unit_decode, rotated_pass_decode)
#undef ROTATED_UNIT

CODEC_KERNEL(cupool_rotated_encode, rotated_unit_encode, struct rotated_scratch)
CODEC_KERNEL(cupool_rotated_decode, rotated_unit_decode, struct rotated_scratch)
