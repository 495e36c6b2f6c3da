/* SPDX-License-Identifier: MIT */
/*
 * Pruning on the host: a bitmap marks the elements that are kept exactly; the others become zero.
 * The largest by a key are kept, of equal ones the earlier. The smallest kept key is found bit by
 * bit.
 *
 * Payload: kept uint64, bitmap (a bit for each value, or for each token) padded to 8 bytes, then
 * the kept elements, or the kept tokens' rows, in the order of memory.
 */
#ifndef KERNELS_CODEC_HOST_PRUNE_H
#define KERNELS_CODEC_HOST_PRUNE_H

#include <errno.h>
#include <stdbool.h>

#include "kernels/codec/part.h"

static size_t prune_units(const struct codec_part *part, bool tokens)
{
    return tokens ? part->tokens : part_values(part);
}

static size_t prune_unit_bytes(const struct codec_part *part, bool tokens)
{
    return value_bytes(part->type) * (tokens ? (size_t)part->heads * part->dim : 1);
}

static size_t prune_kept(const struct codec_part *part, bool tokens)
{
    return (prune_units(part, tokens) * part->keep_permille + 999) / 1000;
}

static size_t prune_payload_at(const struct codec_part *part, bool tokens)
{
    return 8 + (prune_units(part, tokens) + 63) / 64 * 8;
}

/* Key that orders as the magnitudes or the scores do. NaN is the largest magnitude. */
CODEC_FN uint32_t prune_key(const struct codec_part *part, const void *raw, size_t unit,
                            bool tokens)
{
    uint32_t bits;

    if (tokens) {
        bits = float_bits(part->scores[unit] + 0.0f); /* one zero */
        return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    }
    if (part->type == CUPOOL_CODEC_TYPE_F32) {
        memcpy(&bits, (const uint8_t *)raw + 4 * unit, sizeof(bits));
        return bits & 0x7fffffff;
    }
    return ((const uint16_t *)raw)[unit] & 0x7fffu;
}

/* Finds the smallest key that is kept, and how many elements with this key. */
CODEC_FN uint32_t prune_threshold(const struct codec_part *part, const void *raw, size_t kept,
                                  bool tokens, size_t *ret_equal)
{
    size_t count = prune_units(part, tokens), above = 0;
    uint32_t key = 0;

    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        size_t reach = 0;

        for (size_t at = 0; at < count; at++)
            reach += prune_key(part, raw, at, tokens) >= (key | bit);
        key |= reach >= kept ? bit : 0;
    }
    for (size_t at = 0; at < count; at++)
        above += prune_key(part, raw, at, tokens) > key;
    *ret_equal = kept - above;
    return key;
}

static void prune_bitmap(const struct codec_part *part, const void *raw, size_t kept, bool tokens,
                         uint8_t *bitmap)
{
    size_t equal = 0;

    if (kept == 0)
        return;
    uint32_t key = tokens ? prune_threshold(part, raw, kept, true, &equal)
                          : prune_threshold(part, raw, kept, false, &equal);
    for (size_t at = 0; at < prune_units(part, tokens); at++) {
        uint32_t mine = prune_key(part, raw, at, tokens);
        bool keep = mine > key || (mine == key && equal > 0);

        equal -= keep && mine == key;
        bitmap[at / 8] |= (uint8_t)(keep << at % 8);
    }
}

/* Copies between the kept elements and a part, in the order of memory; returns the bytes. */
static size_t prune_copy(const struct codec_part *part, const uint8_t *bitmap, bool tokens,
                         uint8_t *packed, uint8_t *raw, bool unpack)
{
    size_t piece = value_bytes(part->type) * (tokens ? part->dim : 1), at = 0;
    size_t pieces = tokens ? part_rows(part) : part_values(part);

    for (size_t each = 0; each < pieces; each++) {
        size_t unit = tokens ? part_token(part, each) : each;

        if (!(bitmap[unit / 8] >> unit % 8 & 1))
            continue;
        if (unpack)
            memcpy(raw + each * piece, packed + at, piece);
        else
            memcpy(packed + at, raw + each * piece, piece);
        at += piece;
    }
    return at;
}

static size_t prune_encode(const struct codec_part *part, const void *raw, uint8_t *out,
                           size_t room, bool tokens)
{
    size_t at = prune_payload_at(part, tokens);
    uint64_t kept = prune_kept(part, tokens);

    if (at + kept * prune_unit_bytes(part, tokens) > room)
        return 0;
    memset(out, 0, at);
    memcpy(out, &kept, sizeof(kept));
    prune_bitmap(part, raw, kept, tokens, out + 8);
    /* Encoding reads the part alone. */
    return at + prune_copy(part, out + 8, tokens, out + at, (uint8_t *)(uintptr_t)raw, false);
}

static int prune_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw,
                        bool tokens)
{
    size_t at = prune_payload_at(part, tokens), units = prune_units(part, tokens);
    uint64_t kept, set = 0;

    if (bytes < at)
        return -EBADMSG;
    memcpy(&kept, in, sizeof(kept));
    for (size_t each = 8; each < at; each++)
        set += (uint64_t)__builtin_popcount(in[each]);
    for (size_t each = units; each < (at - 8) * 8; each++)
        if (in[8 + each / 8] >> each % 8 & 1)
            return -EBADMSG;
    if (kept != set || bytes != at + set * prune_unit_bytes(part, tokens))
        return -EBADMSG;
    memset(raw, 0, part_raw_bytes(part));
    prune_copy(part, in + 8, tokens, (uint8_t *)(uintptr_t)(in + at), (uint8_t *)raw, true);
    return 0;
}

static size_t magnitude_bytes(const struct codec_part *part)
{
    return prune_payload_at(part, false) + prune_kept(part, false) * value_bytes(part->type);
}

static size_t magnitude_encode(const struct codec_part *part, const void *raw, uint8_t *out,
                               size_t room, uint64_t *saturated)
{
    return prune_encode(part, raw, out, room, false);
}

static int magnitude_decode(const struct codec_part *part, const uint8_t *in, size_t bytes,
                            void *raw)
{
    return prune_decode(part, in, bytes, raw, false);
}

static size_t tokens_bytes(const struct codec_part *part)
{
    return prune_payload_at(part, true) + prune_kept(part, true) * prune_unit_bytes(part, true);
}

static size_t tokens_encode(const struct codec_part *part, const void *raw, uint8_t *out,
                            size_t room, uint64_t *saturated)
{
    return prune_encode(part, raw, out, room, true);
}

static int tokens_decode(const struct codec_part *part, const uint8_t *in, size_t bytes, void *raw)
{
    return prune_decode(part, in, bytes, raw, true);
}

#endif
