/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic of sizes: which class serves a small request and what a slab of that class looks like.
 *
 * Small sizes are multiples of 512 B, the alignment every CUDA allocation has. Up to 4 KiB each
 * multiple is a class; above, 8 classes per doubling, so that at most one eighth of a request is
 * lost. Middle sizes are whole leaves of the buddy, large ones whole segments. Pure functions.
 */
#ifndef POOL_BASE_SIZE_CLASS_H
#define POOL_BASE_SIZE_CLASS_H

#include "pool/base/base.h"
#include "pool/pool.h"

#define SIZE_GRAIN_BYTES 512u
#define SIZE_SMALL_MAX   ((size_t)32 << 10)
#define SIZE_CLASS_COUNT 32u

#define SIZE_LEAF_BYTES       ((size_t)4 << 10)
#define SIZE_LEAVES           512u                 /* in a segment */
#define SIZE_MIDDLE_MAX       ((size_t)1536 << 10) /* above, too much of a segment is left */
#define SIZE_SLAB_STEP_BYTES  ((size_t)64 << 10)
#define SIZE_SLAB_STEPS_MAX   4u
#define SIZE_SLAB_OBJECTS_MIN 8u
#define SIZE_SLAB_OBJECTS_MAX 128u
#define SIZE_REQUEST_MAX      ((size_t)1 << 47)

/** What a slab of a class looks like. */
struct size_class {
    uint32_t object_bytes;
    uint32_t slab_bytes; /* multiple of 64 KiB, at most 256 KiB */
    uint16_t objects;    /* 8 to 128 */
    uint32_t reciprocal; /* index of an offset: ((offset >> 9) * reciprocal) >> 16 */
};

/** The class that serves a request of 1 to 32 KiB bytes. */
static inline unsigned size_class_of(size_t bytes)
{
    uint32_t grains = (uint32_t)((bytes - 1) >> 9);
    unsigned shift = 28u - (unsigned)__builtin_clz(grains | 8);
    return (shift << 3) + (grains >> shift);
}

static inline uint32_t size_class_bytes(unsigned class)
{
    if (class < 8)
        return (class + 1) * SIZE_GRAIN_BYTES;
    return ((class % 8 + 9) << (class / 8 - 1)) * SIZE_GRAIN_BYTES;
}

/** Which object an offset into a slab lies in; at or above `objects` in the unused tail. */
static inline uint32_t size_class_index(uint32_t reciprocal, uint32_t offset)
{
    return ((offset >> 9) * reciprocal) >> 16;
}

static inline uint32_t size_leaves(size_t bytes)
{
    return (uint32_t)((bytes + SIZE_LEAF_BYTES - 1) / SIZE_LEAF_BYTES);
}

/** Enough of a class to tell which object an address lies in without reading its slab. */
struct size_shape {
    uint32_t reciprocal;
    uint16_t object_bytes;
    uint16_t alignment_bits; /* slabs are buddy blocks, so aligned to the next power of two */
};

extern const struct size_shape size_shapes[SIZE_CLASS_COUNT];

/** Geometry of a class, computed; constant. */
void size_class_describe(unsigned class, struct size_class *ret_class);

#endif
