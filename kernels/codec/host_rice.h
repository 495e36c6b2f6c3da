/* SPDX-License-Identifier: MIT */
/* Rice-coded parts on the host. */
#ifndef KERNELS_CODEC_HOST_RICE_H
#define KERNELS_CODEC_HOST_RICE_H

#include <errno.h>
#include <stdbool.h>

#include "kernels/codec/host_scaled.h"
#include "kernels/codec/rice.h"

/* Offsets in a payload; steps are first. */
struct rice_places {
    size_t steps, count; /* how many steps and streams */
    size_t parameters, lengths, streams;
};

static struct rice_places rice_places(const struct codec_part *part)
{
    struct rice_places places;

    places.steps = part->values ? part_rows(part) : part->heads;
    places.count = (part_rows(part) + RICE_STREAM_ROWS - 1) / RICE_STREAM_ROWS;
    places.parameters = places.steps * 2;
    places.lengths = places.parameters + (part->values ? 0 : (size_t)part->heads * part->dim / 2);
    places.streams = places.lengths + places.count * 2;
    return places;
}

/* The rows of a stream. */
static size_t rice_stream_end(const struct codec_part *part, size_t stream)
{
    size_t end = (stream + 1) * RICE_STREAM_ROWS;

    return end < part_rows(part) ? end : part_rows(part);
}

static uint32_t rice_parameter_of(const uint8_t *parameters, size_t channel)
{
    return parameters[channel / 2] >> (channel % 2 * 4) & 15;
}

/* Step and parameters of a head's keys. */
CODEC_FN void rice_head_prepare(const struct codec_part *part, const void *raw, size_t head,
                                uint16_t *ret_step, uint8_t *parameters, int type)
{
    float squares[CODEC_DIM_MAX];
    uint32_t most = 0;

    for (size_t token = 0; token < part->tokens; token++) {
        uint32_t bits = (uint32_t)row_magnitude_finite(raw, part_row(part, head, token) * part->dim,
                                                       part->dim, type);

        most = bits > most ? bits : most;
    }
    float largest = float_of_bits(most), power = row_power(&largest, 1);
    rice_channel_squares(part, raw, head, 1.0f / power, squares, type);
    *ret_step = float_to_half_up(rice_head_scale(squares, part->dim) * power * RICE_KEY_SHARE);
    float step = half_to_float(*ret_step) / power;
    float inverse = step > 0.0f ? 1.0f / (step * step) : 0.0f;
    for (uint32_t at = 0; at < part->dim; at += 2)
        parameters[at / 2] = (uint8_t)(rice_parameter(squares[at] * inverse) |
                                       rice_parameter(squares[at + 1] * inverse) << 4);
}

/* Codes a row; the parameters are NULL for values. False when there is no room. */
static bool rice_row_write(struct bit_writer *writer, const int32_t *numbers, uint32_t dim,
                           const uint8_t *parameters)
{
    for (uint32_t at = 0; at < dim; at++) {
        uint32_t parameter = parameters ? rice_parameter_of(parameters, at) : RICE_VALUE_PARAMETER;

        if (!rice_put(writer, numbers[at], parameter))
            return false;
    }
    return true;
}

CODEC_FN bool rice_stream_write(const struct codec_part *part, const void *raw, size_t stream,
                                uint16_t *steps, const uint8_t *parameters,
                                struct bit_writer *writer, uint64_t *saturated, int type)
{
    int32_t numbers[CODEC_DIM_MAX];
    float buffer[CODEC_DIM_MAX];
    uint32_t dim = part->dim;

    for (size_t row = stream * RICE_STREAM_ROWS; row < rice_stream_end(part, stream); row++) {
        size_t first = row * dim, head = part_head(part, row);

        if (part->values)
            steps[row] = float_to_half_up(row_rms(raw, first, dim, buffer, type) *
                                          RICE_VALUE_SHARE);
        uint16_t step = steps[part->values ? row : head];
        rice_row_round(raw, first, dim, half_to_float(step), numbers, saturated, type);
        if (step && !rice_row_write(writer, numbers, dim,
                                    part->values ? NULL : parameters + head * dim / 2))
            return false;
    }
    return bits_put(writer, 0, (8 - writer->bits) % 8);
}

CODEC_FN void rice_encode_typed(const struct codec_part *part, const void *raw, uint8_t *out,
                                size_t room, uint64_t *saturated, size_t *ret_bytes, int type)
{
    struct rice_places places = rice_places(part);
    uint16_t *steps = (uint16_t *)out, *lengths = (uint16_t *)(out + places.lengths);
    uint8_t *parameters = out + places.parameters;

    if (places.streams > room)
        return;
    for (size_t head = 0; !part->values && head < part->heads; head++)
        rice_head_prepare(part, raw, head, &steps[head], parameters + head * part->dim / 2, type);
    struct bit_writer writer = {out + places.streams, out + room, 0, 0};
    for (size_t stream = 0; stream < places.count; stream++) {
        const uint8_t *begin = writer.at;

        if (!rice_stream_write(part, raw, stream, steps, parameters, &writer, saturated, type))
            return;
        lengths[stream] = (uint16_t)(writer.at - begin);
    }
    *ret_bytes = (size_t)(writer.at - out);
}

static size_t rice_encode(const struct codec_part *part, const void *raw, uint8_t *out, size_t room,
                          uint64_t *saturated)
{
    size_t bytes = 0;

    CODEC_BY_TYPE(part->type, rice_encode_typed, part, raw, out, room, saturated, &bytes);
    return bytes;
}

/* Whether the lengths add up to the payload's bytes. */
static bool rice_lengths_are_sound(const struct codec_part *part, const uint8_t *in, size_t bytes)
{
    struct rice_places places = rice_places(part);
    size_t sum = places.streams;

    if (bytes < places.streams || !scales_are_sound(in, places.steps))
        return false;
    for (size_t stream = 0; stream < places.count; stream++)
        sum += ((const uint16_t *)(in + places.lengths))[stream];
    return sum == bytes;
}

CODEC_FN int rice_row_read(struct bit_reader *reader, uint32_t dim, const uint8_t *parameters,
                           float step, void *raw, size_t first, int type)
{
    for (uint32_t at = 0; at < dim; at++) {
        int32_t number;

        if (!rice_get(reader, parameters ? rice_parameter_of(parameters, at) : RICE_VALUE_PARAMETER,
                      &number))
            return -EBADMSG;
        value_store(raw, type, first + at, (float)number * step);
    }
    return 0;
}

CODEC_FN int rice_stream_read(const struct codec_part *part, const uint8_t *in, size_t stream,
                              struct bit_reader *reader, void *raw, int type)
{
    struct rice_places places = rice_places(part);
    const uint16_t *steps = (const uint16_t *)in;
    uint32_t dim = part->dim;

    for (size_t row = stream * RICE_STREAM_ROWS; row < rice_stream_end(part, stream); row++) {
        size_t head = part_head(part, row);
        uint16_t step = steps[part->values ? row : head];
        const uint8_t *parameters = part->values ? NULL : in + places.parameters + head * dim / 2;

        if (step == 0)
            memset((uint8_t *)raw + row * dim * value_bytes(type), 0, dim * value_bytes(type));
        else if (rice_row_read(reader, dim, parameters, half_to_float(step), raw, row * dim, type) <
                 0)
            return -EBADMSG;
    }
    return reader->at == reader->end && reader->bits < 8 && reader->held == 0 ? 0 : -EBADMSG;
}

CODEC_FN void rice_decode_typed(const struct codec_part *part, const uint8_t *in, void *raw,
                                int *ret_result, int type)
{
    struct rice_places places = rice_places(part);
    const uint16_t *lengths = (const uint16_t *)(in + places.lengths);
    const uint8_t *at = in + places.streams;

    for (size_t stream = 0; stream < places.count && *ret_result == 0; stream++) {
        struct bit_reader reader = {at, at + lengths[stream], 0, 0};

        at += lengths[stream];
        *ret_result = rice_stream_read(part, in, stream, &reader, raw, type);
    }
}

static int rice_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    int result = 0;

    if (!rice_lengths_are_sound(part, in, bytes))
        return -EBADMSG;
    CODEC_BY_TYPE(part->type, rice_decode_typed, part, in, raw, &result);
    return result;
}

#endif
