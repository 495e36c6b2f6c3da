/* SPDX-License-Identifier: MIT */
/*
 * The kernels of fill.h, for nvcc and for the host's compiler (grid.h).
 *
 * A range has a head up to the next multiple of 16, a body of 16 bytes at a time, and a tail. The
 * body is cut into tiles; each lane of the first tile has a byte of the head and of the tail.
 * Sixteen bytes of a pattern at any phase are taken from its repetition in the range's description,
 * so that no lane keeps an array.
 */
#include "kernels/fill/fill.h"

struct shape {
    uint32_t head, tail;
    uint64_t body;
};

KERNEL_INLINE struct shape shape_of(const struct fill_range *range)
{
    struct shape shape;
    uint32_t head = (uint32_t)-range->address & 15;
    shape.head = head < range->bytes ? head : (uint32_t)range->bytes;
    shape.body = (range->bytes - shape.head) & ~(uint64_t)15;
    shape.tail = (uint32_t)(range->bytes - shape.head - shape.body);
    return shape;
}

KERNEL_INLINE const struct fill_range *range_of_tile(const struct fill_range *ranges,
                                                     uint32_t count, uint64_t tile)
{
    return (const struct fill_range *)kernel_item_of_tile(
        ranges, count, sizeof(*ranges), offsetof(struct fill_range, first_tile), tile);
}

KERNEL_INLINE uint8_t pattern_byte(const struct fill_range *range, uint64_t offset)
{
    uint32_t phase = (uint32_t)(offset % range->period);
    return (uint8_t)(range->pattern[phase / 8] >> phase % 8 * 8);
}

/* Of two words, 64 bits from a byte of the first on. */
KERNEL_INLINE uint64_t word_across(uint64_t low, uint64_t high, uint32_t byte)
{
    return byte ? low >> byte * 8 | high << (64 - byte * 8) : low;
}

KERNEL_INLINE kernel_wide pattern_wide(const struct fill_range *range, uint32_t phase)
{
    const uint64_t *word = range->pattern + phase / 8;
    uint64_t low = word[0], middle = word[1], high = word[2];
    return kernel_wide_of(word_across(low, middle, phase % 8),
                          word_across(middle, high, phase % 8));
}

KERNEL_INLINE uint32_t phase_step(uint32_t phase, uint32_t step, uint32_t period)
{
    phase += step;
    return phase >= period ? phase - period : phase;
}

/** A lane's part of the body in a tile. */
struct part {
    uint64_t from, to; /* offsets in the range */
    uint32_t phase, step;
};

KERNEL_INLINE struct part part_of(const struct fill_range *range, const struct shape *shape,
                                  uint64_t tile, uint32_t lane)
{
    struct part part;
    uint64_t begin = (tile - range->first_tile) * KERNEL_TILE_BYTES;
    uint64_t end = begin + KERNEL_TILE_BYTES < shape->body ? begin + KERNEL_TILE_BYTES
                                                           : shape->body;
    part.from = shape->head + begin + lane * 16;
    part.to = shape->head + end;
    part.phase = (uint32_t)(part.from % range->period);
    part.step = KERNEL_WARP * 16 % range->period;
    return part;
}

/* ---- filling ---- */

KERNEL_INLINE void ends_fill(const struct fill_range *range, const struct shape *shape,
                             uint32_t lane)
{
    uint8_t *memory = (uint8_t *)range->address;
    if (lane < shape->head)
        memory[lane] = pattern_byte(range, lane);
    if (lane < shape->tail) {
        uint64_t offset = shape->head + shape->body + lane;
        memory[offset] = pattern_byte(range, offset);
    }
}

KERNEL_INLINE void ranges_fill(struct kernel_place place, const struct fill_range *ranges,
                               uint32_t count, uint64_t tiles)
{
    for (uint64_t tile = place.warp; tile < tiles; tile += place.warps) {
        const struct fill_range *range = range_of_tile(ranges, count, tile);
        const struct shape shape = shape_of(range);
        struct part part = part_of(range, &shape, tile, place.lane);
        if (tile == range->first_tile)
            ends_fill(range, &shape, place.lane);
        for (uint64_t offset = part.from; offset < part.to; offset += KERNEL_WARP * 16) {
            *(kernel_wide *)(range->address + offset) = pattern_wide(range, part.phase);
            part.phase = phase_step(part.phase, part.step, range->period);
        }
    }
}

KERNEL_INLINE void cupool_fill_lane(struct kernel_place place,
                                    const struct fill_arguments *arguments)
{
    ranges_fill(place, (const struct fill_range *)arguments->ranges, arguments->count,
                arguments->tiles);
}

KERNEL_INLINE void cupool_fill_few_lane(struct kernel_place place,
                                        const struct fill_few_arguments *arguments)
{
    ranges_fill(place, arguments->ranges, arguments->count, arguments->tiles);
}

/* ---- comparing ---- */

KERNEL_INLINE uint64_t mismatch_pack(uint64_t offset, uint8_t value)
{
    return offset << 8 | value;
}

KERNEL_INLINE uint64_t byte_compare(const struct fill_range *range, uint64_t offset)
{
    uint8_t value = ((const uint8_t *)range->address)[offset];
    return value == pattern_byte(range, offset) ? FILL_MATCHES : mismatch_pack(offset, value);
}

KERNEL_INLINE uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

KERNEL_INLINE uint64_t ends_compare(const struct fill_range *range, const struct shape *shape,
                                    uint32_t lane)
{
    uint64_t first = FILL_MATCHES;
    if (lane < shape->head)
        first = byte_compare(range, lane);
    if (lane < shape->tail)
        first = lesser(first, byte_compare(range, shape->head + shape->body + lane));
    return first;
}

KERNEL_INLINE uint64_t wide_compare(const struct fill_range *range, uint64_t offset, uint32_t phase)
{
    kernel_wide is = *(const kernel_wide *)(range->address + offset);
    kernel_wide wanted = pattern_wide(range, phase);
    uint64_t low = is.x ^ wanted.x, high = is.y ^ wanted.y;
    if (low == 0 && high == 0)
        return FILL_MATCHES;
    uint32_t byte = kernel_first_byte(low ? low : high);
    uint64_t word = low ? is.x : is.y;
    return mismatch_pack(offset + (low ? 0 : 8) + byte, (uint8_t)(word >> byte * 8));
}

KERNEL_INLINE void cupool_verify_lane(struct kernel_place place,
                                      const struct fill_arguments *arguments)
{
    const struct fill_range *ranges = (const struct fill_range *)arguments->ranges;
    for (uint64_t tile = place.warp; tile < arguments->tiles; tile += place.warps) {
        const struct fill_range *range = range_of_tile(ranges, arguments->count, tile);
        const struct shape shape = shape_of(range);
        struct part part = part_of(range, &shape, tile, place.lane);
        uint64_t first = tile == range->first_tile ? ends_compare(range, &shape, place.lane)
                                                   : FILL_MATCHES;
        for (uint64_t offset = part.from; offset < part.to; offset += KERNEL_WARP * 16) {
            first = lesser(first, wide_compare(range, offset, part.phase));
            part.phase = phase_step(part.phase, part.step, range->period);
        }
        if (first != FILL_MATCHES)
            kernel_minimum((uint64_t *)arguments->mismatches + (range - ranges), first);
    }
}

/* The host declares what the kernels have become there. */
KERNEL_DEFINE(cupool_fill, struct fill_arguments)
KERNEL_DEFINE(cupool_fill_few, struct fill_few_arguments)
KERNEL_DEFINE(cupool_verify, struct fill_arguments)
