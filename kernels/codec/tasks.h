/* SPDX-License-Identifier: MIT */
/*
 * Arguments of the codecs' kernels: parts of blocks in device memory; all parts of a launch have
 * one shape, type and method.
 *
 * A part is cut into units, each the work of a warp. Kernels trust the offsets and sizes made by
 * the host; they check everything in an encoded part.
 */
#ifndef KERNELS_CODEC_TASKS_H
#define KERNELS_CODEC_TASKS_H

#include "kernels/codec/lossless.h"
#include "kernels/codec/part.h"

struct codec_task {
    uint64_t raw;     /* of the part; aligned to its elements */
    uint64_t encoded; /* of its payload; aligned to 8 */
    uint64_t bytes;   /* of its payload: encode, the room; decode, the size */
    uint64_t scratch; /* encode, lossless: codec_scratch_bytes(), zero before */
    uint32_t first_layer, unused;
};

/** All zero before. */
struct codec_result {
    uint64_t bytes;     /* encode, where the size depends on the values; above the room: too many */
    uint64_t saturated; /* encode */
    uint32_t refused;   /* decode: the payload is malformed */
    uint32_t unused;
};

struct codec_arguments {
    uint64_t tasks, results; /* arrays that the device can read, and write */
    uint64_t units;          /* of all tasks */
    uint32_t units_each;
    uint32_t tokens, heads, dim;
    int32_t type, layout;
};

/** Values of a unit where lanes are independent. */
#define UNIT_VALUES 2048u
/** Escapes that a warp puts in. */
#define UNIT_ESCAPES 256u

CODEC_FN uint32_t unit_rows(uint32_t dim)
{
    return dim < UNIT_VALUES ? UNIT_VALUES / dim : 1;
}

CODEC_FN size_t units_of(size_t count, size_t each)
{
    return (count + each - 1) / each;
}

/** For lossless parts: a counter for each exponent, then the escapes of each unit. */
CODEC_FN size_t codec_scratch_bytes(const struct codec_part *part)
{
    return (256 + units_of(part_values(part), UNIT_VALUES)) * sizeof(uint32_t);
}

#endif
