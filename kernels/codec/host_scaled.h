/* SPDX-License-Identifier: MIT */
/*
 * Raw, fp16, bf16, int8, e4m3 and rotated parts on the host: positions are fixed, so the size
 * alone shows whether a payload is possible.
 */
#ifndef KERNELS_CODEC_HOST_SCALED_H
#define KERNELS_CODEC_HOST_SCALED_H

#include <errno.h>
#include <stdbool.h>

#include "kernels/codec/rotated.h"
#include "kernels/codec/scaled.h"

static size_t raw_bytes(const struct codec_part *part)
{
    return part_raw_bytes(part);
}

static size_t raw_encode(const struct codec_part *part, const void *raw, uint8_t *out, size_t room,
                         uint64_t *saturated)
{
    if (part_raw_bytes(part) > room)
        return 0;
    memcpy(out, raw, part_raw_bytes(part));
    return part_raw_bytes(part);
}

static int raw_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    if (bytes != part_raw_bytes(part))
        return -EBADMSG;
    memcpy(raw, in, bytes);
    return 0;
}

#define NARROW(name, TYPE)                                                                         \
    static size_t name##_encode(const struct codec_part *part, const void *raw, uint8_t *out,      \
                                size_t room, uint64_t *saturated)                                  \
    {                                                                                              \
        if (narrow_bytes(part) > room)                                                             \
            return 0;                                                                              \
        for (size_t row = 0; row < part_rows(part); row++)                                         \
            narrow_row_encode((const float *)raw, row * part->dim, part->dim, (uint16_t *)out,     \
                              saturated, TYPE);                                                    \
        return narrow_bytes(part);                                                                 \
    }                                                                                              \
    static int name##_decode(const struct codec_part *part, const uint8_t *in, size_t bytes,       \
                             void *raw)                                                            \
    {                                                                                              \
        if (bytes != narrow_bytes(part))                                                           \
            return -EBADMSG;                                                                       \
        for (size_t at = 0; at < part_values(part); at++)                                          \
            ((float *)raw)[at] = value_load(in, TYPE, at);                                         \
        return 0;                                                                                  \
    }
NARROW(fp16, CUPOOL_CODEC_TYPE_F16)
NARROW(bf16, CUPOOL_CODEC_TYPE_BF16)

/* Whether all fp16 scales in an array are finite and not negative. */
static bool scales_are_sound(const uint8_t *in, size_t count)
{
    uint32_t worst = 0;

    for (size_t at = 0; at < count; at++) {
        uint16_t scale;

        memcpy(&scale, in + 2 * at, sizeof(scale));
        worst = scale > worst ? scale : worst;
    }
    return worst < 0x7c00;
}

CODEC_FN void int8_encode_typed(const struct codec_part *part, const void *raw, uint8_t *out,
                                uint64_t *saturated, int type)
{
    uint16_t *scales = (uint16_t *)out;
    int8_t *codes = (int8_t *)(out + part_rows(part) * 2);

    for (size_t row = 0; row < part_rows(part); row++)
        int8_row_encode(raw, row * part->dim, part->dim, &scales[row], codes + row * part->dim,
                        saturated, type);
}

static size_t int8_encode(const struct codec_part *part, const void *raw, uint8_t *out, size_t room,
                          uint64_t *saturated)
{
    if (int8_bytes(part) > room)
        return 0;
    CODEC_BY_TYPE(part->type, int8_encode_typed, part, raw, out, saturated);
    return int8_bytes(part);
}

CODEC_FN void int8_decode_typed(const struct codec_part *part, const uint8_t *in, void *raw,
                                int type)
{
    const uint16_t *scales = (const uint16_t *)in;
    const int8_t *codes = (const int8_t *)(in + part_rows(part) * 2);

    for (size_t row = 0; row < part_rows(part); row++)
        int8_row_decode(codes + row * part->dim, scales[row], raw, row * part->dim, part->dim,
                        type);
}

static int int8_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    if (bytes != int8_bytes(part) || !scales_are_sound(in, part_rows(part)))
        return -EBADMSG;
    CODEC_BY_TYPE(part->type, int8_decode_typed, part, in, raw);
    return 0;
}

CODEC_FN void fp8_encode_typed(const struct codec_part *part, const void *raw, uint8_t *out,
                               uint64_t *saturated, int type)
{
    float *scales = (float *)out;
    uint8_t *codes = out + part->heads * sizeof(float);

    for (size_t head = 0; head < part->heads; head++) {
        int32_t most = 0;

        for (size_t token = 0; token < part->tokens; token++) {
            size_t first = part_row(part, head, token) * part->dim;
            int32_t bits = row_magnitude_finite(raw, first, part->dim, type);

            most = bits > most ? bits : most;
        }
        scales[head] = fp8_scale(most);
    }
    for (size_t row = 0; row < part_rows(part); row++)
        fp8_row_encode(raw, row * part->dim, part->dim, scales[part_head(part, row)],
                       codes + row * part->dim, saturated, type);
}

static size_t fp8_encode(const struct codec_part *part, const void *raw, uint8_t *out, size_t room,
                         uint64_t *saturated)
{
    if (fp8_bytes(part) > room)
        return 0;
    CODEC_BY_TYPE(part->type, fp8_encode_typed, part, raw, out, saturated);
    return fp8_bytes(part);
}

CODEC_FN void fp8_decode_typed(const struct codec_part *part, const uint8_t *in, void *raw,
                               int type)
{
    const float *scales = (const float *)in;
    const uint8_t *codes = in + part->heads * sizeof(float);

    for (size_t row = 0; row < part_rows(part); row++)
        fp8_row_decode(codes + row * part->dim, scales[part_head(part, row)], raw, row * part->dim,
                       part->dim, type);
}

static int fp8_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    if (bytes != fp8_bytes(part))
        return -EBADMSG;
    for (size_t head = 0; head < part->heads; head++)
        if (!fp8_scale_is_sound(((const float *)in)[head]))
            return -EBADMSG;
    for (size_t at = 0; at < part_values(part); at++)
        if ((in[part->heads * sizeof(float) + at] & 0x7f) == 0x7f)
            return -EBADMSG;
    CODEC_BY_TYPE(part->type, fp8_decode_typed, part, in, raw);
    return 0;
}

CODEC_FN void rotated_encode_typed(const struct codec_part *part, const void *raw, uint8_t *out,
                                   uint64_t *saturated, int type)
{
    uint16_t *scales = (uint16_t *)out;
    uint8_t *codes = out + part_rows(part) * 2;
    float buffer[CODEC_DIM_MAX];

    for (size_t row = 0; row < part_rows(part); row++)
        rotated_row_encode(raw, row * part->dim, part->dim, buffer, &scales[row],
                           codes + row * part->dim / 2, saturated, type);
}

static size_t rotated_encode(const struct codec_part *part, const void *raw, uint8_t *out,
                             size_t room, uint64_t *saturated)
{
    if (rotated_bytes(part) > room)
        return 0;
    CODEC_BY_TYPE(part->type, rotated_encode_typed, part, raw, out, saturated);
    return rotated_bytes(part);
}

CODEC_FN void rotated_decode_typed(const struct codec_part *part, const uint8_t *in, void *raw,
                                   int type)
{
    const uint16_t *scales = (const uint16_t *)in;
    const uint8_t *codes = in + part_rows(part) * 2;
    float buffer[CODEC_DIM_MAX];

    for (size_t row = 0; row < part_rows(part); row++)
        rotated_row_decode(codes + row * part->dim / 2, scales[row], buffer, raw, row * part->dim,
                           part->dim, type);
}

static int rotated_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    if (bytes != rotated_bytes(part) || !scales_are_sound(in, part_rows(part)))
        return -EBADMSG;
    CODEC_BY_TYPE(part->type, rotated_decode_typed, part, in, raw);
    return 0;
}

#endif
