/* SPDX-License-Identifier: MIT */
/*
 * Kernels of lossless.h. To encode, exponents are counted; a warp for each part makes the
 * codebook; then every unit writes its planes and counts its escapes; finally it writes the
 * escapes behind those of the units before it. To decode: planes, then escapes.
 */
#include "kernels/codec/lanes.cuh"
#include "kernels/codec/lossless.h"

#define LOSSLESS_EIGHT 8u

struct lossless_scratch {
    uint32_t counts[256];
};

struct lossless_span {
    size_t from, to;
};

KERNEL_INLINE struct lossless_span lossless_span_of(const struct codec_unit *unit)
{
    struct lossless_span span;
    size_t all = part_values(&unit->part);
    span.from = unit->at * UNIT_VALUES;
    span.to = span.from + UNIT_VALUES < all ? span.from + UNIT_VALUES : all;
    return span;
}

/* Eight patterns, two to a word. */
KERNEL_INLINE void eight_load(const void *raw, size_t at, uint32_t whole, uint32_t *ret_pairs)
{
    const uint16_t *from = (const uint16_t *)raw + at;
    if (whole) {
        const kernel_wide wide = *(const kernel_wide *)from;
        ret_pairs[0] = (uint32_t)wide.x;
        ret_pairs[1] = (uint32_t)(wide.x >> 32);
        ret_pairs[2] = (uint32_t)wide.y;
        ret_pairs[3] = (uint32_t)(wide.y >> 32);
        return;
    }
    for (uint32_t each = 0; each < 4; each++)
        ret_pairs[each] = from[2 * each] | (uint32_t)from[2 * each + 1] << 16;
}

KERNEL_INLINE void eight_store(void *raw, size_t at, uint32_t whole, const uint32_t *pairs)
{
    uint16_t *to = (uint16_t *)raw + at;
    if (whole) {
        kernel_wide_store(to, pairs[0] | (uint64_t)pairs[1] << 32,
                          pairs[2] | (uint64_t)pairs[3] << 32);
        return;
    }
    for (uint32_t each = 0; each < 8; each++)
        to[each] = (uint16_t)(pairs[each / 2] >> each % 2 * 16);
}

KERNEL_INLINE uint32_t eight_pattern(const uint32_t *pairs, uint32_t each)
{
    return pairs[each / 2] >> each % 2 * 16 & 0xffff;
}

/* ---- encode ---- */

KERNEL_INLINE void lossless_unit_count(const struct codec_unit *unit,
                                       struct lossless_scratch *scratch, int type)
{
    const struct lossless_span span = lossless_span_of(unit);
    const uint32_t whole = is_whole(unit->raw, 16);
    WARP_LANES(lane)
    {
        for (uint32_t at = lane; at < 256; at += KERNEL_WARP)
            scratch->counts[at] = 0;
    }
    warp_sync();
    WARP_LANES(lane)
    {
        for (size_t at = span.from + lane * LOSSLESS_EIGHT; at < span.to;
             at += KERNEL_WARP * LOSSLESS_EIGHT) {
            uint32_t pairs[4];
            eight_load(unit->raw, at, whole, pairs);
            for (uint32_t each = 0; each < 8; each++)
                kernel_add_32(&scratch->counts[lossless_exponent(eight_pattern(pairs, each), type)],
                              1);
        }
    }
    warp_sync();
    WARP_LANES(lane)
    {
        for (uint32_t at = lane; at < 256; at += KERNEL_WARP)
            if (scratch->counts[at] > 0)
                kernel_add_32(&unit->scratch[at], scratch->counts[at]);
    }
    warp_sync();
}

/* Returns the most frequent remaining exponent, the smallest of several; its counter becomes 0. */
KERNEL_INLINE uint32_t lossless_commonest(struct lossless_scratch *scratch, uint32_t *ret_count)
{
    WARP_EACH(int32_t, most);
    WARP_EACH(uint32_t, has);
    uint32_t found = 0, ballot, first = 0;
    WARP_LANES(lane)
    {
        int32_t own = 0;
        for (uint32_t at = lane * 8; at < lane * 8 + 8; at++)
            own = (int32_t)scratch->counts[at] > own ? (int32_t)scratch->counts[at] : own;
        WARP_OWN(most, lane) = own;
        WARP_OWN(has, lane) = (uint32_t)own;
    }
    warp_maximum(most, KERNEL_WARP);
    WARP_LANES(lane)
    {
        WARP_OWN(has, lane) = WARP_OWN(has, lane) == (uint32_t)WARP_OWN(most, lane);
    }
    ballot = warp_ballot(has);
    while (!(ballot >> first & 1))
        first++;
    *ret_count = (uint32_t)WARP_OWN(most, 0);
    for (found = first * 8; scratch->counts[found] != *ret_count; found++)
        ;
    warp_sync();
    WARP_LANES(lane)
    {
        if (lane == 0)
            scratch->counts[found] = 0;
    }
    warp_sync();
    return *ret_count > 0 ? found : 0;
}

KERNEL_INLINE void lossless_unit_book(const struct codec_unit *unit,
                                      struct lossless_scratch *scratch, int type)
{
    const size_t count = part_values(&unit->part);
    const struct lossless_layout layout = lossless_layout(count, type);
    size_t escapes = count;
    WARP_LANES(lane)
    {
        for (uint32_t at = lane; at < 256; at += KERNEL_WARP)
            scratch->counts[at] = unit->scratch[at];
    }
    warp_sync();
    for (uint32_t code = 0; code < LOSSLESS_BOOK; code++) {
        uint32_t times, exponent = lossless_commonest(scratch, &times);
        escapes -= times;
        WARP_LANES(lane)
        {
            if (lane == 0)
                unit->encoded[code] = (uint8_t)exponent;
        }
    }
    WARP_LANES(lane)
    {
        if (lane == 0) {
            *(kernel_half *)(unit->encoded + LOSSLESS_BOOK) = (uint32_t)escapes;
            *(kernel_half *)(unit->encoded + layout.places - 4) = 0; /* what aligns the places */
            unit->result->bytes = layout.places + escapes * LOSSLESS_ESCAPE_BYTES;
        }
    }
}

/* Fills the code of each exponent from the codebook of a part; 0x80 for one without a code.
 * Unused places of a codebook contain exponent 0, after the used ones. */
KERNEL_INLINE void lossless_codes_make(const struct codec_unit *unit,
                                       struct lossless_scratch *scratch)
{
    WARP_LANES(lane)
    {
        for (uint32_t at = lane; at < 256; at += KERNEL_WARP) {
            scratch->counts[at] = 0x80;
            for (uint32_t code = 0; code < LOSSLESS_BOOK && unit->scratch[at] > 0; code++)
                if (unit->encoded[code] == at && scratch->counts[at] == 0x80)
                    scratch->counts[at] = code;
        }
    }
    warp_sync();
}

/* Eight values; how many of them are escapes. */
KERNEL_INLINE uint32_t lossless_lane_encode(const struct codec_unit *unit,
                                            const struct lossless_layout *layout, size_t at,
                                            const uint32_t *pairs, const uint32_t *code_of,
                                            int type)
{
    uint32_t codes = 0, low[2] = {0, 0}, rest = 0, escapes = 0;
    KERNEL_UNROLL
    for (uint32_t each = 0; each < 8; each++) {
        uint32_t pattern = eight_pattern(pairs, each);
        uint32_t code = code_of[lossless_exponent(pattern, type)];
        escapes += code >> 7;
        codes |= (code & 15) << 4 * each;
        low[each / 4] |= lossless_low(pattern, type) << each % 4 * 8;
        rest |= lossless_rest(pattern) << 3 * each;
    }
    *(kernel_half *)(unit->encoded + layout->codes + at / 2) = codes;
    *(kernel_half *)(unit->encoded + layout->low + at) = low[0];
    *(kernel_half *)(unit->encoded + layout->low + at + 4) = low[1];
    for (uint32_t each = 0; each < 3 && type == CUPOOL_CODEC_TYPE_F16; each++)
        unit->encoded[layout->rest + at / 8 * 3 + each] = (uint8_t)(rest >> 8 * each);
    return escapes;
}

/* Whether a part becomes small enough; otherwise it is stored raw, and nothing more is written. */
KERNEL_INLINE uint32_t lossless_fits(const struct codec_unit *unit)
{
    return unit->result->bytes <= unit->bytes;
}

KERNEL_INLINE void lossless_unit_encode(const struct codec_unit *unit,
                                        struct lossless_scratch *scratch, int type)
{
    const struct lossless_span span = lossless_span_of(unit);
    const struct lossless_layout layout = lossless_layout(part_values(&unit->part), type);
    const uint32_t whole = is_whole(unit->raw, 16);
    WARP_EACH(uint32_t, escapes);
    if (!lossless_fits(unit))
        return;
    lossless_codes_make(unit, scratch);
    WARP_LANES(lane)
    {
        WARP_OWN(escapes, lane) = 0;
        for (size_t at = span.from + lane * LOSSLESS_EIGHT; at < span.to;
             at += KERNEL_WARP * LOSSLESS_EIGHT) {
            uint32_t pairs[4];
            eight_load(unit->raw, at, whole, pairs);
            WARP_OWN(escapes, lane) += lossless_lane_encode(unit, &layout, at, pairs,
                                                            scratch->counts, type);
        }
    }
    warp_count(escapes, KERNEL_WARP);
    WARP_LANES(lane)
    {
        if (lane == 0)
            unit->scratch[256 + unit->at] = WARP_OWN(escapes, lane);
    }
    warp_sync();
}

KERNEL_INLINE uint32_t lossless_escapes_before(const struct codec_unit *unit)
{
    WARP_EACH(uint32_t, count);
    WARP_LANES(lane)
    {
        WARP_OWN(count, lane) = 0;
        for (size_t at = lane; at < unit->at; at += KERNEL_WARP)
            WARP_OWN(count, lane) += unit->scratch[256 + at];
    }
    warp_count(count, KERNEL_WARP);
    return WARP_OWN(count, 0);
}

KERNEL_INLINE void lossless_unit_escape(const struct codec_unit *unit,
                                        struct lossless_scratch *scratch, int type)
{
    const struct lossless_span span = lossless_span_of(unit);
    const struct lossless_layout layout = lossless_layout(part_values(&unit->part), type);
    const uint16_t *patterns = (const uint16_t *)unit->raw;
    if (!lossless_fits(unit) || unit->scratch[256 + unit->at] == 0)
        return;
    uint32_t place = lossless_escapes_before(unit);
    uint32_t all = *(const kernel_half *)(unit->encoded + LOSSLESS_BOOK);
    kernel_half *places = (kernel_half *)(unit->encoded + layout.places);
    uint8_t *exponents = unit->encoded + layout.places + (size_t)all * sizeof(uint32_t);
    lossless_codes_make(unit, scratch);
    for (size_t base = span.from; base < span.to; base += KERNEL_WARP) {
        WARP_EACH(uint32_t, escaped);
        WARP_LANES(lane)
        {
            WARP_OWN(escaped, lane) =
                base + lane < span.to &&
                scratch->counts[lossless_exponent(patterns[base + lane], type)] == 0x80;
        }
        uint32_t ballot = warp_ballot(escaped);
        WARP_LANES(lane)
        {
            uint32_t at = place + warp_before(ballot, lane);
            if (WARP_OWN(escaped, lane)) {
                places[at] = (uint32_t)(base + lane);
                exponents[at] = (uint8_t)lossless_exponent(patterns[base + lane], type);
            }
        }
        place += kernel_popcount(ballot);
    }
    warp_sync();
}

CODEC_KERNEL_16(cupool_lossless_count, lossless_unit_count, struct lossless_scratch)
CODEC_KERNEL_16(cupool_lossless_book, lossless_unit_book, struct lossless_scratch)
CODEC_KERNEL_16(cupool_lossless_encode, lossless_unit_encode, struct lossless_scratch)
CODEC_KERNEL_16(cupool_lossless_escape, lossless_unit_escape, struct lossless_scratch)

/* ---- decode ---- */

/* Whether the size of a payload matches its escapes; returns their number. */
KERNEL_INLINE uint32_t lossless_is_sound(const struct codec_unit *unit,
                                         const struct lossless_layout *layout,
                                         uint32_t *ret_escapes)
{
    if (unit->bytes < layout->places)
        return 0;
    *ret_escapes = *(const kernel_half *)(unit->encoded + LOSSLESS_BOOK);
    return unit->bytes == layout->places + (uint64_t)*ret_escapes * LOSSLESS_ESCAPE_BYTES;
}

KERNEL_INLINE uint32_t lossless_limit(int type)
{
    return type == CUPOOL_CODEC_TYPE_F16 ? 32 : 256;
}

KERNEL_INLINE void lossless_lane_decode(const struct codec_unit *unit,
                                        const struct lossless_layout *layout, const uint64_t *book,
                                        size_t at, uint32_t whole, int type)
{
    uint32_t codes = *(const kernel_half *)(unit->encoded + layout->codes + at / 2);
    uint32_t low[2] = {*(const kernel_half *)(unit->encoded + layout->low + at),
                       *(const kernel_half *)(unit->encoded + layout->low + at + 4)};
    uint32_t rest = 0, pairs[4] = {0, 0, 0, 0};
    if (type == CUPOOL_CODEC_TYPE_F16)
        rest = lossless_rest_get(unit->encoded + layout->rest + at / 8 * 3);
    KERNEL_UNROLL
    for (uint32_t each = 0; each < 8; each++) {
        uint32_t code = codes >> 4 * each & 15;
        uint32_t exponent = (uint32_t)((code < 8 ? book[0] : book[1]) >> code % 8 * 8) & 0xff;
        pairs[each / 2] |= lossless_pattern(exponent, low[each / 4] >> each % 4 * 8 & 0xff,
                                            rest >> 3 * each & 7, type)
                           << each % 2 * 16;
    }
    eight_store(unit->raw_out, at, whole, pairs);
}

KERNEL_INLINE void lossless_unit_decode(const struct codec_unit *unit, struct no_scratch *scratch,
                                        int type)
{
    const struct lossless_span span = lossless_span_of(unit);
    const struct lossless_layout layout = lossless_layout(part_values(&unit->part), type);
    const uint32_t whole = is_whole(unit->raw, 16);
    uint32_t escapes = 0, sound = lossless_is_sound(unit, &layout, &escapes);
    uint64_t book[2] = {0, 0};
    for (uint32_t at = 0; at < LOSSLESS_BOOK / 2 && sound; at++) {
        book[0] |= (uint64_t)unit->encoded[at] << at * 8;
        book[1] |= (uint64_t)unit->encoded[8 + at] << at * 8;
        sound &= unit->encoded[at] < lossless_limit(type) &&
                 unit->encoded[8 + at] < lossless_limit(type);
    }
    WARP_LANES(lane)
    {
        if (!sound)
            unit_refuse(unit);
        for (size_t at = span.from + lane * LOSSLESS_EIGHT; at < span.to && sound;
             at += KERNEL_WARP * LOSSLESS_EIGHT)
            lossless_lane_decode(unit, &layout, book, at, whole, type);
    }
}

KERNEL_INLINE void lossless_unit_restore(const struct codec_unit *unit, struct no_scratch *scratch,
                                         int type)
{
    const size_t count = part_values(&unit->part);
    const struct lossless_layout layout = lossless_layout(count, type);
    uint16_t *patterns = (uint16_t *)unit->raw_out;
    uint32_t escapes = 0;
    if (!lossless_is_sound(unit, &layout, &escapes))
        return;
    const kernel_half *places = (const kernel_half *)(unit->encoded + layout.places);
    const uint8_t *exponents = unit->encoded + layout.places + (size_t)escapes * sizeof(uint32_t);
    WARP_LANES(lane)
    {
        for (size_t at = unit->at * UNIT_ESCAPES + lane;
             at < (unit->at + 1) * UNIT_ESCAPES && at < escapes; at += KERNEL_WARP) {
            size_t place = places[at];
            uint32_t rest = 0;
            if (place >= count || exponents[at] >= lossless_limit(type) ||
                (at > 0 && place <= places[at - 1])) {
                unit_refuse(unit);
                continue;
            }
            if (type == CUPOOL_CODEC_TYPE_F16)
                rest = lossless_rest_get(unit->encoded + layout.rest + place / 8 * 3) >>
                           place % 8 * 3 &
                       7;
            patterns[place] = (uint16_t)lossless_pattern(
                exponents[at], unit->encoded[layout.low + place], rest, type);
        }
    }
}

CODEC_KERNEL_16(cupool_lossless_decode, lossless_unit_decode, struct no_scratch)
CODEC_KERNEL_16(cupool_lossless_restore, lossless_unit_restore, struct no_scratch)
