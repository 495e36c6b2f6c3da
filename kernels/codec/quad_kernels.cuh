/* SPDX-License-Identifier: MIT */
/*
 * Kernels of quad.h and channel.h. Along rows: eight lanes for each group of 32 channels. By
 * channel: a warp for each head, first to find its outliers, then, when those of all heads are
 * known, to write its codes.
 */
#include "kernels/codec/channel.h"
#include "kernels/codec/lanes.cuh"

/* ---- along rows ---- */

#define QUAD_TEAM 8u

struct quad_rows {
    struct quad_range *ranges;
    uint8_t *codes;
    size_t groups, from, to; /* of a row; of this unit */
    uint32_t whole;
};

KERNEL_INLINE struct quad_rows quad_rows_of(const struct codec_unit *unit, int type)
{
    struct quad_rows rows;
    rows.groups = quad_groups(&unit->part);
    rows.ranges = (struct quad_range *)unit->encoded;
    rows.codes = unit->encoded + part_rows(&unit->part) * rows.groups * sizeof(struct quad_range);
    rows.from = unit->at * UNIT_VALUES / CODEC_GROUP;
    rows.to = rows.from + UNIT_VALUES / CODEC_GROUP;
    if (rows.to > part_rows(&unit->part) * rows.groups)
        rows.to = part_rows(&unit->part) * rows.groups;
    rows.whole = raw_is_whole(unit->raw, type);
    return rows;
}

/* Index of a lane's value in a group, or SIZE_MAX where the group has none for it. */
KERNEL_INLINE size_t quad_element(const struct codec_unit *unit, const struct quad_rows *rows,
                                  size_t group, uint32_t lane)
{
    size_t row = group / rows->groups, inner = group % rows->groups;
    uint32_t at = lane % QUAD_TEAM * 4;
    if (group >= rows->to || at >= quad_width(&unit->part, inner))
        return SIZE_MAX;
    return row * unit->part.dim + inner * CODEC_GROUP + at;
}

KERNEL_INLINE void quad_lane_encode(const struct codec_unit *unit, const struct quad_rows *rows,
                                    size_t element, struct quad_range range, int type)
{
    float floor = half_to_float(range.low), inverse = range_inverse(range), x[4];
    uint64_t moved = 0;
    uint32_t codes = 0;
    four_load(unit->raw, type, element, rows->whole, x);
    for (uint32_t each = 0; each < 4; each++)
        codes |= range_code(x[each], floor, inverse, 15.0f, &moved) << 4 * each;
    *(kernel_short *)(rows->codes + element / 2) = (uint16_t)codes;
    unit_saturated(unit, moved);
}

KERNEL_INLINE void quad_unit_encode(const struct codec_unit *unit, struct no_scratch *scratch,
                                    int type)
{
    const struct quad_rows rows = quad_rows_of(unit, type);
    for (size_t base = rows.from; base < rows.to; base += KERNEL_WARP / QUAD_TEAM) {
        WARP_EACH(int32_t, below); /* the lower end as a maximum */
        WARP_EACH(int32_t, above);
        WARP_LANES(lane)
        {
            size_t element = quad_element(unit, &rows, base + lane / QUAD_TEAM, lane);
            int32_t low = RANGE_EMPTY_LOW, high = RANGE_EMPTY_HIGH;
            float x[4];
            if (element != SIZE_MAX)
                four_load(unit->raw, type, element, rows.whole, x);
            for (uint32_t each = 0; each < 4 && element != SIZE_MAX; each++)
                range_widen(x[each], &low, &high);
            WARP_OWN(below, lane) = ~low;
            WARP_OWN(above, lane) = high;
        }
        warp_maximum(below, QUAD_TEAM);
        warp_maximum(above, QUAD_TEAM);
        WARP_LANES(lane)
        {
            size_t group = base + lane / QUAD_TEAM;
            size_t element = quad_element(unit, &rows, group, lane);
            struct quad_range range = range_close(~WARP_OWN(below, lane), WARP_OWN(above, lane),
                                                  15.0f);
            if (element != SIZE_MAX && lane % QUAD_TEAM == 0)
                rows.ranges[group] = range;
            if (element != SIZE_MAX)
                quad_lane_encode(unit, &rows, element, range, type);
        }
    }
}

KERNEL_INLINE void quad_unit_decode(const struct codec_unit *unit, struct no_scratch *scratch,
                                    int type)
{
    const struct quad_rows rows = quad_rows_of(unit, type);
    WARP_LANES(lane)
    {
        for (size_t base = rows.from; base < rows.to; base += KERNEL_WARP / QUAD_TEAM) {
            size_t group = base + lane / QUAD_TEAM;
            size_t element = quad_element(unit, &rows, group, lane);
            if (element == SIZE_MAX)
                continue;
            struct quad_range range = rows.ranges[group];
            uint32_t codes = *(const kernel_short *)(rows.codes + element / 2);
            float low = half_to_float(range.low), step = half_to_float(range.step), x[4];
            if (!range_is_sound(range.low, range.step))
                unit_refuse(unit);
            for (uint32_t each = 0; each < 4; each++)
                x[each] = range_value(codes >> 4 * each & 15, low, step);
            four_store(unit->raw_out, type, element, rows.whole, x);
        }
    }
}

CODEC_KERNEL(cupool_quad_encode, quad_unit_encode, struct no_scratch)
CODEC_KERNEL(cupool_quad_decode, quad_unit_decode, struct no_scratch)

/* ---- by channel ---- */

struct channel_scratch {
    uint32_t each[CODEC_DIM_MAX];
};

KERNEL_INLINE void channel_lane_ends(const struct codec_unit *unit, uint32_t channel,
                                     uint32_t token, uint32_t count, int32_t *ret_low,
                                     int32_t *ret_high, int type)
{
    int32_t low = RANGE_EMPTY_LOW, high = RANGE_EMPTY_HIGH;
    for (uint32_t t = token; t < token + count; t++)
        range_widen(value_load(unit->raw, type,
                               part_row(&unit->part, unit->at, t) * unit->part.dim + channel),
                    &low, &high);
    *ret_low = low;
    *ret_high = high;
}

/* rank_select() by a warp. */
KERNEL_INLINE uint32_t warp_rank_select(const uint32_t *bits, uint32_t count, uint32_t rank)
{
    uint32_t found = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        WARP_EACH(uint32_t, below);
        WARP_LANES(lane)
        {
            uint32_t own = 0;
            for (uint32_t at = lane; at < count; at += KERNEL_WARP)
                own += bits[at] < (found | bit);
            WARP_OWN(below, lane) = own;
        }
        warp_count(below, KERNEL_WARP);
        found |= WARP_OWN(below, 0) <= rank ? bit : 0;
    }
    return found;
}

KERNEL_INLINE void channel_unit_mark(const struct codec_unit *unit, struct channel_scratch *scratch,
                                     int type)
{
    const struct codec_part *part = &unit->part;
    const uint32_t dim = part->dim;
    uint8_t *bits = unit->encoded + unit->at * dim / 8;
    WARP_LANES(lane)
    {
        for (uint32_t at = lane; at < dim; at += KERNEL_WARP) {
            int32_t low, high;
            channel_lane_ends(unit, at, 0, part->tokens, &low, &high, type);
            scratch->each[at] = channel_width(low, high);
        }
    }
    warp_sync();
    float median = float_of_bits(warp_rank_select(scratch->each, dim, dim / 2));
    for (uint32_t base = 0; base < dim; base += KERNEL_WARP) {
        WARP_EACH(uint32_t, wide);
        WARP_LANES(lane)
        {
            uint32_t at = base + lane;
            WARP_OWN(wide, lane) = at < dim && (part->first_layer ||
                                                channel_is_wide(scratch->each[at], median));
        }
        uint32_t ballot = warp_ballot(wide);
        WARP_LANES(lane)
        {
            if (lane < 4 && base + lane * 8 < dim)
                bits[base / 8 + lane] = (uint8_t)(ballot >> 8 * lane);
        }
    }
    WARP_LANES(lane)
    {
        size_t end = (size_t)part->heads * dim / 8;
        if (unit->at == 0 && end + lane < channel_ranges_at(part))
            unit->encoded[end + lane] = 0;
    }
    warp_sync(); /* the scratch is the next unit's */
}

/* Outliers of the heads before one, or of all heads. */
KERNEL_INLINE uint32_t channel_outliers_before(const struct codec_unit *unit, size_t head)
{
    WARP_EACH(uint32_t, count);
    WARP_LANES(lane)
    {
        uint32_t own = 0;
        for (size_t at = lane; at < head * unit->part.dim / 8; at += KERNEL_WARP)
            own += kernel_popcount(unit->encoded[at]);
        WARP_OWN(count, lane) = own;
    }
    warp_count(count, KERNEL_WARP);
    return WARP_OWN(count, 0);
}

/* The rank of each channel among the outliers of its head, in the scratch. */
KERNEL_INLINE void channel_ranks(const struct codec_unit *unit, const uint8_t *bits,
                                 struct channel_scratch *scratch)
{
    uint32_t before = 0;
    for (uint32_t base = 0; base < unit->part.dim; base += KERNEL_WARP) {
        WARP_EACH(uint32_t, wide);
        WARP_LANES(lane)
        {
            uint32_t at = base + lane;
            WARP_OWN(wide, lane) = at < unit->part.dim && channel_is_outlier(bits, at);
        }
        uint32_t ballot = warp_ballot(wide);
        WARP_LANES(lane)
        {
            if (base + lane < unit->part.dim)
                scratch->each[base + lane] = before + warp_before(ballot, lane);
        }
        before += kernel_popcount(ballot);
    }
    warp_sync();
}

/* Where the codes of a head are. */
struct channel_head {
    const uint8_t *bits;
    struct quad_range *ranges;
    uint8_t *codes, *high;
    size_t stride;
};

KERNEL_INLINE struct channel_head channel_head_of(const struct codec_unit *unit)
{
    const struct codec_part *part = &unit->part;
    struct channel_head head;
    head.bits = unit->encoded + unit->at * part->dim / 8;
    head.ranges = (struct quad_range *)(unit->encoded + channel_ranges_at(part)) +
                  unit->at * channel_groups(part) * part->dim;
    head.codes = unit->encoded + channel_codes_at(part);
    head.stride = channel_high_bytes(part);
    head.high = unit->encoded + channel_high_at(part) +
                channel_outliers_before(unit, unit->at) * head.stride;
    return head;
}

/* Codes one channel and token: returns the low half, and stores the high half of an outlier. */
KERNEL_INLINE uint32_t channel_lane_code(const struct codec_unit *unit, size_t element,
                                         struct quad_range range, uint32_t wide, uint8_t *place,
                                         uint32_t odd, uint64_t *moved, int type)
{
    uint32_t code = range_code(value_load(unit->raw, type, element), half_to_float(range.low),
                               range_inverse(range), wide ? 255.0f : 15.0f, moved);
    if (wide)
        *place = (uint8_t)(odd ? *place | code >> 4 << 4 : code >> 4);
    return code & 15;
}

/* Two channels of a group of tokens. */
KERNEL_INLINE void channel_lane_encode(const struct codec_unit *unit,
                                       const struct channel_head *head, uint32_t channel,
                                       const uint32_t *ranks, uint32_t group, int type)
{
    const struct codec_part *part = &unit->part;
    uint32_t token = group * CODEC_GROUP, left = part->tokens - token;
    uint32_t count = left < CODEC_GROUP ? left : CODEC_GROUP, wide[2];
    struct quad_range range[2];
    uint64_t moved = 0;
    KERNEL_UNROLL
    for (uint32_t side = 0; side < 2; side++) {
        int32_t low, high;
        channel_lane_ends(unit, channel + side, token, count, &low, &high, type);
        wide[side] = channel_is_outlier(head->bits, channel + side);
        range[side] = range_close(low, high, wide[side] ? 255.0f : 15.0f);
        head->ranges[(size_t)group * part->dim + channel + side] = range[side];
    }
    for (uint32_t t = token; t < token + count; t++) {
        size_t element = part_row(part, unit->at, t) * part->dim + channel;
        uint32_t codes = 0;
        KERNEL_UNROLL
        for (uint32_t side = 0; side < 2; side++)
            codes |= channel_lane_code(unit, element + side, range[side], wide[side],
                                       head->high + ranks[channel + side] * head->stride + t / 2,
                                       t % 2, &moved, type)
                     << 4 * side;
        head->codes[element / 2] = (uint8_t)codes;
    }
    unit_saturated(unit, moved);
}

KERNEL_INLINE void channel_unit_encode(const struct codec_unit *unit,
                                       struct channel_scratch *scratch, int type)
{
    const struct codec_part *part = &unit->part;
    const struct channel_head head = channel_head_of(unit);
    channel_ranks(unit, head.bits, scratch);
    WARP_LANES(lane)
    {
        for (uint32_t group = 0; group < channel_groups(part); group++)
            for (uint32_t at = lane * 2; at < part->dim; at += KERNEL_WARP * 2)
                channel_lane_encode(unit, &head, at, scratch->each, group, type);
    }
    uint32_t outliers = channel_outliers_before(unit, unit->at == 0 ? part->heads : 0);
    WARP_LANES(lane)
    {
        if (unit->at == 0 && lane == 0)
            unit->result->bytes = channel_high_at(part) + outliers * channel_high_bytes(part);
    }
    warp_sync();
}

KERNEL_INLINE void channel_lane_decode(const struct codec_unit *unit,
                                       const struct channel_head *head, uint32_t channel,
                                       const uint32_t *ranks, int type)
{
    const struct codec_part *part = &unit->part;
    for (uint32_t t = 0; t < part->tokens; t++) {
        size_t element = part_row(part, unit->at, t) * part->dim + channel;
        uint32_t codes = head->codes[element / 2];
        const struct quad_range *ranges = head->ranges + (size_t)(t / CODEC_GROUP) * part->dim;
        for (uint32_t side = 0; side < 2; side++) {
            struct quad_range range = ranges[channel + side];
            uint32_t code = codes >> 4 * side & 15;
            if (channel_is_outlier(head->bits, channel + side))
                code |=
                    (head->high[ranks[channel + side] * head->stride + t / 2] >> t % 2 * 4 & 15u)
                    << 4;
            if (!range_is_sound(range.low, range.step))
                unit_refuse(unit);
            value_store(unit->raw_out, type, element + side,
                        range_value(code, half_to_float(range.low), half_to_float(range.step)));
        }
    }
}

KERNEL_INLINE void channel_unit_decode(const struct codec_unit *unit,
                                       struct channel_scratch *scratch, int type)
{
    const struct codec_part *part = &unit->part;
    uint32_t outliers = channel_outliers_before(unit, part->heads);
    const struct channel_head head = channel_head_of(unit);
    /* Nothing is read behind the end of a payload. */
    uint32_t sound = unit->bytes == channel_high_at(part) + outliers * channel_high_bytes(part);
    channel_ranks(unit, head.bits, scratch);
    WARP_LANES(lane)
    {
        if (!sound)
            unit_refuse(unit);
        for (uint32_t at = lane * 2; at < part->dim && sound; at += KERNEL_WARP * 2)
            channel_lane_decode(unit, &head, at, scratch->each, type);
    }
    warp_sync();
}

CODEC_KERNEL(cupool_channel_mark, channel_unit_mark, struct channel_scratch)
CODEC_KERNEL(cupool_channel_encode, channel_unit_encode, struct channel_scratch)
CODEC_KERNEL(cupool_channel_decode, channel_unit_decode, struct channel_scratch)
