/* SPDX-License-Identifier: MIT */
/*
 * The kernel of copy.h, for nvcc and for the host's compiler (grid.h).
 *
 * The copy width of a fragment is the common alignment of its two addresses. Before the first
 * multiple of this width in the destination there is a head, after the last one a tail; each lane
 * of the first tile copies a byte of both.
 */
#include "kernels/copy/copy.h"

struct split {
    uint32_t width; /* 16, 8, 4 or 1 */
    uint32_t head, tail;
    uint64_t body;
};

KERNEL_INLINE uint32_t width_of(uint64_t difference)
{
    if (difference % 16 == 0)
        return 16;
    if (difference % 8 == 0)
        return 8;
    return difference % 4 == 0 ? 4 : 1;
}

KERNEL_INLINE struct split split_of(const struct copy_fragment *fragment)
{
    struct split split;
    split.width = width_of(fragment->from - fragment->to);
    uint32_t head = (uint32_t)-fragment->to & (split.width - 1);
    split.head = head < fragment->bytes ? head : (uint32_t)fragment->bytes;
    split.body = (fragment->bytes - split.head) & ~(uint64_t)(split.width - 1);
    split.tail = (uint32_t)(fragment->bytes - split.head - split.body);
    return split;
}

KERNEL_INLINE const struct copy_fragment *fragment_of_tile(const struct copy_fragment *fragments,
                                                           uint32_t count, uint64_t tile)
{
    return (const struct copy_fragment *)kernel_item_of_tile(
        fragments, count, sizeof(*fragments), offsetof(struct copy_fragment, first_tile), tile);
}

KERNEL_INLINE void ends_copy(const struct copy_fragment *fragment, const struct split *split,
                             uint32_t lane)
{
    const uint8_t *from = (const uint8_t *)fragment->from;
    uint8_t *to = (uint8_t *)fragment->to;
    if (lane < split->head)
        to[lane] = from[lane];
    if (lane < split->tail) {
        uint64_t offset = split->head + split->body + lane;
        to[offset] = from[offset];
    }
}

/* nvcc copies the members of a struct one by one, but a value that was examined at once. */
KERNEL_INLINE kernel_wide wide_value(kernel_wide value)
{
    return kernel_wide_of(value.x, value.y);
}

KERNEL_INLINE uint64_t word_value(uint64_t value)
{
    return value;
}

/* A lane's part of `bytes`, which are a multiple of the type's. */
#define COPY_BODY(name, type, value)                                                               \
    KERNEL_INLINE void name(uint64_t from, uint64_t to, uint64_t bytes, uint32_t lane)             \
    {                                                                                              \
        const type *__restrict__ source = (const type *)from;                                      \
        type *__restrict__ target = (type *)to;                                                    \
        const uint32_t count = (uint32_t)(bytes / sizeof(type));                                   \
        for (uint32_t at = lane; at < count; at += KERNEL_WARP)                                    \
            target[at] = (type)value(source[at]);                                                  \
    }
COPY_BODY(body_copy_16, kernel_wide, wide_value)
COPY_BODY(body_copy_8, kernel_word, word_value)
COPY_BODY(body_copy_4, kernel_half, word_value)
COPY_BODY(body_copy_1, uint8_t, word_value)
#undef COPY_BODY

KERNEL_INLINE void tile_copy(const struct copy_fragment *fragment, const struct split *split,
                             uint64_t begin, uint32_t lane)
{
    if (begin >= split->body)
        return;
    uint64_t left = split->body - begin;
    uint64_t bytes = left < KERNEL_TILE_BYTES ? left : KERNEL_TILE_BYTES;
    uint64_t from = fragment->from + split->head + begin;
    uint64_t to = fragment->to + split->head + begin;
    switch (split->width) {
    case 16: body_copy_16(from, to, bytes, lane); break;
    case 8: body_copy_8(from, to, bytes, lane); break;
    case 4: body_copy_4(from, to, bytes, lane); break;
    default: body_copy_1(from, to, bytes, lane); break;
    }
}

KERNEL_INLINE void cupool_copy_lane(struct kernel_place place,
                                    const struct copy_arguments *arguments)
{
    const struct copy_fragment *fragments = (const struct copy_fragment *)arguments->fragments;
    for (uint64_t tile = place.warp; tile < arguments->tiles; tile += place.warps) {
        const struct copy_fragment *fragment = fragment_of_tile(fragments, arguments->count, tile);
        const struct split split = split_of(fragment);
        if (tile == fragment->first_tile)
            ends_copy(fragment, &split, place.lane);
        tile_copy(fragment, &split, (tile - fragment->first_tile) * KERNEL_TILE_BYTES, place.lane);
    }
}

KERNEL_DEFINE(cupool_copy, struct copy_arguments)
