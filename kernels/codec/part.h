/* SPDX-License-Identifier: MIT */
/*
 * One part of a block, keys or values, as the codecs see it: rows of head_dim channels, one for
 * each token and head, in the order of memory. A row is contiguous in both layouts.
 */
#ifndef KERNELS_CODEC_PART_H
#define KERNELS_CODEC_PART_H

#include "kernels/codec/value.h"

#define CODEC_DIM_MAX 1024
/* Tokens or channels that share a scale of 4 bit values. */
#define CODEC_GROUP 32

struct codec_part {
    uint32_t tokens, heads, dim;
    uint32_t keep_permille;
    int type, layout;
    int values;      /* else keys */
    int first_layer; /* of layer 0 */
    const float *scores;
};

/* Functions of a codec for a part. Addresses are aligned to 8. */
struct codec_method {
    /** Payload bytes at most. */
    size_t (*bytes)(const struct codec_part *part);
    /** Writes at most `room` bytes and returns how many; 0: not enough room. */
    size_t (*encode)(const struct codec_part *part, const void *raw, uint8_t *out, size_t room,
                     uint64_t *saturated);
    /** -EBADMSG: these bytes are not a payload of this part. */
    int (*decode)(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw);
};

CODEC_FN size_t part_rows(const struct codec_part *part)
{
    return (size_t)part->tokens * part->heads;
}

CODEC_FN size_t part_values(const struct codec_part *part)
{
    return part_rows(part) * part->dim;
}

CODEC_FN size_t part_raw_bytes(const struct codec_part *part)
{
    return part_values(part) * value_bytes(part->type);
}

CODEC_FN size_t part_row(const struct codec_part *part, size_t head, size_t token)
{
    return part->layout == CUPOOL_CODEC_LAYOUT_NHD ? token * part->heads + head
                                                   : head * part->tokens + token;
}

CODEC_FN size_t part_head(const struct codec_part *part, size_t row)
{
    return part->layout == CUPOOL_CODEC_LAYOUT_NHD ? row % part->heads : row / part->tokens;
}

CODEC_FN size_t part_token(const struct codec_part *part, size_t row)
{
    return part->layout == CUPOOL_CODEC_LAYOUT_NHD ? row / part->heads : row % part->tokens;
}

/* Calls FUNCTION(…, type) with the type as a constant, so that the loops inside are specialised. */
#define CODEC_BY_TYPE(type, FUNCTION, ...)                                                         \
    do {                                                                                           \
        if ((type) == CUPOOL_CODEC_TYPE_F16)                                                       \
            FUNCTION(__VA_ARGS__, CUPOOL_CODEC_TYPE_F16);                                          \
        else if ((type) == CUPOOL_CODEC_TYPE_BF16)                                                 \
            FUNCTION(__VA_ARGS__, CUPOOL_CODEC_TYPE_BF16);                                         \
        else                                                                                       \
            FUNCTION(__VA_ARGS__, CUPOOL_CODEC_TYPE_F32);                                          \
    } while (0)

#endif
