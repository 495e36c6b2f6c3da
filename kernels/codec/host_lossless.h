/* SPDX-License-Identifier: MIT */
/*
 * Lossless parts on the host: a histogram, then 64 values at a time, with scalar look-ups and
 * vectorised bit operations.
 */
#ifndef KERNELS_CODEC_HOST_LOSSLESS_H
#define KERNELS_CODEC_HOST_LOSSLESS_H

#include <errno.h>
#include <stdbool.h>

#include "kernels/codec/lossless.h"

#define LOSSLESS_STEP 64

struct lossless_book {
    uint8_t exponents[LOSSLESS_BOOK];
    uint8_t code_of[256]; /* 0x80: an escape, with code 0 */
    size_t escapes;
};

static void lossless_count(const uint16_t *patterns, size_t count, int type, uint32_t *counts)
{
    uint32_t apart[4][256] = {{0}};

    for (size_t at = 0; at < count; at += 4)
        for (size_t side = 0; side < 4; side++)
            apart[side][lossless_exponent(patterns[at + side], type)]++;
    for (size_t at = 0; at < 256; at++)
        counts[at] = apart[0][at] + apart[1][at] + apart[2][at] + apart[3][at];
}

/* Finds the most frequent exponents; of equally frequent ones the smaller. */
static void lossless_book_make(const uint16_t *patterns, size_t count, int type,
                               struct lossless_book *ret_book)
{
    uint32_t counts[256];

    lossless_count(patterns, count, type, counts);
    memset(ret_book->code_of, 0x80, sizeof(ret_book->code_of));
    ret_book->escapes = count;
    for (uint8_t code = 0; code < LOSSLESS_BOOK; code++) {
        uint32_t best = 0;

        for (uint32_t at = 1; at < 256; at++)
            if (counts[at] > counts[best])
                best = at;
        ret_book->exponents[code] = 0;
        if (counts[best] == 0)
            continue;
        ret_book->exponents[code] = (uint8_t)best;
        ret_book->code_of[best] = code;
        ret_book->escapes -= counts[best];
        counts[best] = 0;
    }
}

/* Codes up to 64 values: codes, low planes and remaining bits; returns whether there is an
 * escape. */
CODEC_FN bool lossless_step_encode(const uint16_t *patterns, size_t count, const uint8_t *code_of,
                                   uint8_t *codes, uint8_t *low, uint8_t *rest, int type)
{
    uint8_t each[LOSSLESS_STEP], any = 0;

    for (size_t at = 0; at < count; at++)
        each[at] = (uint8_t)lossless_exponent(patterns[at], type);
    for (size_t at = 0; at < count; at++)
        low[at] = (uint8_t)lossless_low(patterns[at], type);
    for (size_t at = 0; at < count; at++)
        each[at] = code_of[each[at]];
    for (size_t at = 0; at < count; at++)
        any |= each[at];
    for (size_t at = 0; at < count / 2; at++)
        codes[at] = (uint8_t)((each[2 * at] & 15) | (each[2 * at + 1] & 15) << 4);
    if (type == CUPOOL_CODEC_TYPE_F16)
        for (size_t at = 0; at < count; at += 8)
            lossless_rest_put(patterns + at, rest + at / 8 * 3);
    return any & 0x80;
}

CODEC_FN void lossless_encode_typed(const struct codec_part *part, const uint16_t *patterns,
                                    const struct lossless_book *book, uint8_t *out, int type)
{
    size_t count = part_values(part), escape = 0;
    struct lossless_layout layout = lossless_layout(count, type);
    uint32_t *places = (uint32_t *)(out + layout.places);
    uint8_t *exponents = out + layout.places + book->escapes * sizeof(*places);

    for (size_t at = 0; at < count; at += LOSSLESS_STEP) {
        size_t step = count - at < LOSSLESS_STEP ? count - at : LOSSLESS_STEP;

        if (!lossless_step_encode(patterns + at, step, book->code_of, out + layout.codes + at / 2,
                                  out + layout.low + at, out + layout.rest + at / 8 * 3, type))
            continue;
        for (size_t each = at; each < at + step; each++) {
            uint32_t exponent = lossless_exponent(patterns[each], type);

            if (book->code_of[exponent] & 0x80) {
                places[escape] = (uint32_t)each;
                exponents[escape++] = (uint8_t)exponent;
            }
        }
    }
}

static size_t lossless_bytes(const struct codec_part *part)
{
    return part_raw_bytes(part);
}

static size_t lossless_encode(const struct codec_part *part, const void *raw, uint8_t *out,
                              size_t room, uint64_t *saturated)
{
    const uint16_t *patterns = (const uint16_t *)raw;
    struct lossless_layout layout = lossless_layout(part_values(part), part->type);
    struct lossless_book book;

    lossless_book_make(patterns, part_values(part), part->type, &book);
    size_t bytes = layout.places + book.escapes * LOSSLESS_ESCAPE_BYTES;
    uint32_t escapes = (uint32_t)book.escapes;
    if (bytes > room)
        return 0;
    memset(out + layout.places - 4, 0, 4); /* what aligns the places */
    memcpy(out, book.exponents, LOSSLESS_BOOK);
    memcpy(out + LOSSLESS_BOOK, &escapes, sizeof(escapes));
    if (part->type == CUPOOL_CODEC_TYPE_F16)
        lossless_encode_typed(part, patterns, &book, out, CUPOOL_CODEC_TYPE_F16);
    else
        lossless_encode_typed(part, patterns, &book, out, CUPOOL_CODEC_TYPE_BF16);
    return bytes;
}

CODEC_FN void lossless_step_decode(const uint8_t *codes, const uint8_t *low, const uint8_t *rest,
                                   const uint16_t *pair_of, size_t count, uint16_t *patterns,
                                   int type)
{
    uint8_t each[LOSSLESS_STEP], left[LOSSLESS_STEP] = {0};

    for (size_t at = 0; at < count / 2; at++)
        memcpy(each + 2 * at, &pair_of[codes[at]], 2);
    if (type == CUPOOL_CODEC_TYPE_F16)
        for (size_t at = 0; at < count; at += 8) {
            uint32_t bits = lossless_rest_get(rest + at / 8 * 3);

            for (size_t side = 0; side < 8; side++)
                left[at + side] = (uint8_t)(bits >> 3 * side & 7);
        }
    for (size_t at = 0; at < count; at++)
        patterns[at] = (uint16_t)lossless_pattern(each[at], low[at], left[at], type);
}

CODEC_FN void lossless_decode_typed(const struct codec_part *part, const uint8_t *in,
                                    uint16_t *patterns, int type)
{
    size_t count = part_values(part);
    struct lossless_layout layout = lossless_layout(count, type);
    uint16_t pair_of[256];

    for (size_t at = 0; at < 256; at++) {
        uint8_t pair[2] = {in[at & 15], in[at >> 4]};

        memcpy(&pair_of[at], pair, 2);
    }
    for (size_t at = 0; at < count; at += LOSSLESS_STEP) {
        const uint8_t *codes = in + layout.codes + at / 2, *low = in + layout.low + at;
        const uint8_t *rest = in + layout.rest + at / 8 * 3;

        if (count - at >= LOSSLESS_STEP)
            lossless_step_decode(codes, low, rest, pair_of, LOSSLESS_STEP, patterns + at, type);
        else
            lossless_step_decode(codes, low, rest, pair_of, count - at, patterns + at, type);
    }
}

/* Inserts the escapes; they are in ascending order. */
static int lossless_escapes(const struct codec_part *part, const uint8_t *in, uint32_t escapes,
                            uint16_t *patterns)
{
    size_t count = part_values(part);
    struct lossless_layout layout = lossless_layout(count, part->type);
    const uint32_t *places = (const uint32_t *)(in + layout.places);
    const uint8_t *exponents = in + layout.places + (size_t)escapes * sizeof(*places);
    uint32_t limit = part->type == CUPOOL_CODEC_TYPE_F16 ? 32 : 256;

    for (uint32_t at = 0; at < escapes; at++) {
        uint32_t rest = 0;
        size_t place = places[at];

        if (place >= count || exponents[at] >= limit || (at > 0 && place <= places[at - 1]))
            return -EBADMSG;
        if (part->type == CUPOOL_CODEC_TYPE_F16)
            rest = lossless_rest_get(in + layout.rest + place / 8 * 3) >> place % 8 * 3 & 7;
        patterns[place] = (uint16_t)lossless_pattern(exponents[at], in[layout.low + place], rest,
                                                     part->type);
    }
    return 0;
}

static int lossless_decode(const struct codec_part *part, const uint8_t *in, size_t bytes,
                           void *raw)
{
    struct lossless_layout layout = lossless_layout(part_values(part), part->type);
    uint32_t escapes;

    if (bytes < layout.places)
        return -EBADMSG;
    memcpy(&escapes, in + LOSSLESS_BOOK, sizeof(escapes));
    if (bytes != layout.places + (size_t)escapes * LOSSLESS_ESCAPE_BYTES)
        return -EBADMSG;
    for (size_t at = 0; at < LOSSLESS_BOOK; at++)
        if (part->type == CUPOOL_CODEC_TYPE_F16 && in[at] > 31)
            return -EBADMSG;
    if (part->type == CUPOOL_CODEC_TYPE_F16)
        lossless_decode_typed(part, in, (uint16_t *)raw, CUPOOL_CODEC_TYPE_F16);
    else
        lossless_decode_typed(part, in, (uint16_t *)raw, CUPOOL_CODEC_TYPE_BF16);
    return lossless_escapes(part, in, escapes, (uint16_t *)raw);
}

#endif
