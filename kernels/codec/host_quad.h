/* SPDX-License-Identifier: MIT */
/* Four bit parts on the host: along rows, and keys by channel. */
#ifndef KERNELS_CODEC_HOST_QUAD_H
#define KERNELS_CODEC_HOST_QUAD_H

#include <errno.h>
#include <stdbool.h>

#include "kernels/codec/channel.h"

static bool ranges_are_sound(const struct quad_range *ranges, size_t count)
{
    bool sound = true;

    for (size_t at = 0; at < count; at++)
        sound &= range_is_sound(ranges[at].low, ranges[at].step);
    return sound;
}

CODEC_FN void quad_encode_typed(const struct codec_part *part, const void *raw, uint8_t *out,
                                uint64_t *saturated, int type)
{
    size_t groups = quad_groups(part);
    struct quad_range *ranges = (struct quad_range *)out;
    uint8_t *codes = out + part_rows(part) * groups * sizeof(*ranges);

    for (size_t row = 0; row < part_rows(part); row++)
        for (size_t group = 0; group < groups; group++) {
            size_t first = row * part->dim + group * CODEC_GROUP;

            quad_group_encode(raw, first, quad_width(part, group), &ranges[row * groups + group],
                              codes + first / 2, saturated, type);
        }
}

static size_t quad_encode(const struct codec_part *part, const void *raw, uint8_t *out, size_t room,
                          uint64_t *saturated)
{
    if (quad_bytes(part) > room)
        return 0;
    CODEC_BY_TYPE(part->type, quad_encode_typed, part, raw, out, saturated);
    return quad_bytes(part);
}

CODEC_FN void quad_decode_typed(const struct codec_part *part, const uint8_t *in, void *raw,
                                int type)
{
    size_t groups = quad_groups(part);
    const struct quad_range *ranges = (const struct quad_range *)in;
    const uint8_t *codes = in + part_rows(part) * groups * sizeof(*ranges);

    for (size_t row = 0; row < part_rows(part); row++)
        for (size_t group = 0; group < groups; group++) {
            size_t first = row * part->dim + group * CODEC_GROUP;

            quad_group_decode(codes + first / 2, ranges[row * groups + group], raw, first,
                              quad_width(part, group), type);
        }
}

static int quad_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    if (bytes != quad_bytes(part) ||
        !ranges_are_sound((const struct quad_range *)in, part_rows(part) * quad_groups(part)))
        return -EBADMSG;
    CODEC_BY_TYPE(part->type, quad_decode_typed, part, in, raw);
    return 0;
}

CODEC_FN void channel_encode_typed(const struct codec_part *part, const void *raw, uint8_t *out,
                                   size_t room, uint64_t *saturated, size_t *ret_bytes, int type)
{
    size_t high = channel_high_at(part), groups = channel_groups(part);
    struct quad_range *ranges = (struct quad_range *)(out + channel_ranges_at(part));

    if (high > room)
        return;
    memset(out, 0, channel_ranges_at(part));
    for (size_t head = 0; head < part->heads; head++) {
        uint8_t *bits = out + head * part->dim / 8;
        uint32_t outliers = channel_outliers(part, raw, head, bits, type);

        if (outliers * channel_high_bytes(part) > room - high)
            return;
        for (size_t group = 0; group < groups; group++)
            channel_group_encode(part, raw, head, (uint32_t)group * CODEC_GROUP, bits,
                                 ranges + (head * groups + group) * part->dim,
                                 out + channel_codes_at(part), out + high, saturated, type);
        high += outliers * channel_high_bytes(part);
    }
    *ret_bytes = high;
}

static size_t channel_encode(const struct codec_part *part, const void *raw, uint8_t *out,
                             size_t room, uint64_t *saturated)
{
    size_t bytes = 0;

    CODEC_BY_TYPE(part->type, channel_encode_typed, part, raw, out, room, saturated, &bytes);
    return bytes;
}

static size_t channel_count(const uint8_t *bits, size_t dim)
{
    size_t count = 0;

    for (size_t at = 0; at < dim / 8; at++)
        count += (size_t)__builtin_popcount(bits[at]);
    return count;
}

CODEC_FN void channel_decode_typed(const struct codec_part *part, const uint8_t *in, void *raw,
                                   int type)
{
    size_t groups = channel_groups(part), high = channel_high_at(part);
    const struct quad_range *ranges = (const struct quad_range *)(in + channel_ranges_at(part));

    for (size_t head = 0; head < part->heads; head++) {
        const uint8_t *bits = in + head * part->dim / 8;

        for (uint32_t token = 0; token < part->tokens; token++)
            channel_row_decode(part, head, token, bits,
                               ranges + (head * groups + token / CODEC_GROUP) * part->dim,
                               in + channel_codes_at(part), in + high, raw, type);
        high += channel_count(bits, part->dim) * channel_high_bytes(part);
    }
}

static int channel_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    size_t channels = (size_t)part->heads * part->dim;

    if (bytes < channel_high_at(part) ||
        bytes != channel_high_at(part) + channel_count(in, channels) * channel_high_bytes(part) ||
        !ranges_are_sound((const struct quad_range *)(in + channel_ranges_at(part)),
                          channels * channel_groups(part)))
        return -EBADMSG;
    CODEC_BY_TYPE(part->type, channel_decode_typed, part, in, raw);
    return 0;
}

#endif
