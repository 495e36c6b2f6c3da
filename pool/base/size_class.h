/* SPDX-License-Identifier: MIT */
/*
 * Size arithmetic: the class that serves a small request, and the layout of its slabs.
 *
 * Small sizes are multiples of 512 B, the alignment every CUDA allocation has. Up to 4 KiB each
 * multiple is a class; above, 8 classes per doubling, so that at most one eighth of a request is
 * lost. A pool may have other classes, multiples of 256 B, the alignment CUDA promises. Middle
 * sizes are whole leaves of the buddy, large ones whole segments. Pure functions.
 */
#ifndef POOL_BASE_SIZE_CLASS_H
#define POOL_BASE_SIZE_CLASS_H

#include "pool/base/base.h"
#include "pool/pool.h"

#define SIZE_GRAIN_BYTES 512u
#define SIZE_SMALL_MAX   ((size_t)32 << 10)
#define SIZE_TINY_MAX    ((size_t)4 << 10) /* at least 16 of the smallest slab */
#define SIZE_CLASS_COUNT POOL_CLASSES_MAX

/* The sizes of all classes of any pool are multiples of this, and there are at most this many. */
#define SIZE_UNIT_BYTES  256u
#define SIZE_UNIT_SHIFT  8
#define SIZE_UNITS       (32u * 1024 / SIZE_UNIT_BYTES)
#define SIZE_CLASS_LEAST 512u

#define SIZE_LEAF_BYTES       ((size_t)4 << 10)
#define SIZE_LEAVES           512u                 /* in a segment */
#define SIZE_MIDDLE_MAX       ((size_t)1536 << 10) /* a larger block wastes its segment */
#define SIZE_SLAB_STEP_BYTES  ((size_t)64 << 10)
#define SIZE_SLAB_STEPS_MAX   16u
#define SIZE_SLAB_OBJECTS_MAX 128u
#define SIZE_REQUEST_MAX      ((size_t)1 << 47)

/** Geometry of the slabs of a class. */
struct size_class {
    uint32_t object_bytes;
    uint32_t slab_bytes; /* multiple of 64 KiB, at most 1 MiB */
    uint16_t objects;    /* 2 to 128 */
    uint32_t reciprocal; /* index of an offset: ((offset >> 8) * reciprocal) >> 20 */
};

/** The classes of a pool. Constant once it is made. */
struct size_classes {
    uint8_t of[SIZE_UNITS];           /* class of a request, by the units it needs, less one */
    uint16_t bytes[SIZE_CLASS_COUNT]; /* ascending; with fewer classes the last ones are equal */
};

/**
 * Makes classes from a list of sizes, ascending multiples of 256 B from 512 B to 32 KiB; adds
 * 32 KiB if it is missing. `count` 0: the built-in classes. Errors: -EINVAL.
 */
int size_classes_init(const uint16_t *bytes, size_t count, struct size_classes *ret_classes);

/** Returns the class that serves a request of 1 to 32 KiB bytes. */
static inline unsigned size_class_of(const struct size_classes *classes, size_t bytes)
{
    return classes->of[(bytes - 1) >> SIZE_UNIT_SHIFT];
}

/** The size of a built-in class. */
static inline uint32_t size_class_bytes(unsigned size_class)
{
    if (size_class < 8)
        return (size_class + 1) * SIZE_GRAIN_BYTES;
    return ((size_class % 8 + 9) << (size_class / 8 - 1)) * SIZE_GRAIN_BYTES;
}

/** Index of the object at an offset in a slab; `objects` or more in the unused tail. */
static inline uint32_t size_class_index(uint32_t reciprocal, uint32_t offset)
{
    return ((offset >> SIZE_UNIT_SHIFT) * reciprocal) >> 20;
}

static inline uint32_t size_leaves(size_t bytes)
{
    return (uint32_t)((bytes + SIZE_LEAF_BYTES - 1) / SIZE_LEAF_BYTES);
}

/** The part of a class that suffices to find the object at an address without reading its slab. */
struct size_shape {
    uint32_t reciprocal;
    uint16_t object_bytes;
    uint16_t alignment_bits; /* slabs are buddy blocks, so aligned to the next power of two */
};

/* Slabs are aligned to 64 KiB at least, to 1 MiB at most. */
#define SIZE_ALIGNMENT_BITS_MIN 16u
#define SIZE_ALIGNMENTS         5u
#define SIZE_SHAPE_COUNT        (SIZE_ALIGNMENTS * SIZE_UNITS)

/** Indexed by the alignment of the slab, then by the units of an object, less one. The same for all
 * pools, whatever their classes and slabs. */
extern const struct size_shape size_shapes[SIZE_SHAPE_COUNT];

static inline unsigned size_shape_of(uint32_t object_bytes, uint32_t slab_bytes)
{
    unsigned alignment = (unsigned)pool_log2_ceil(slab_bytes) - SIZE_ALIGNMENT_BITS_MIN;

    return alignment * SIZE_UNITS + object_bytes / SIZE_UNIT_BYTES - 1;
}

/** Whether a size is valid for the slabs of a pool; 0: the default sizes. */
static inline bool size_slab_valid(uint64_t slab_bytes)
{
    return slab_bytes % SIZE_SLAB_STEP_BYTES == 0 &&
           slab_bytes <= SIZE_SLAB_STEPS_MAX * SIZE_SLAB_STEP_BYTES;
}

/** Computes the geometry of a class; `slab_bytes` as configured, 0: the default. */
void size_class_describe(uint32_t object_bytes, uint64_t slab_bytes, struct size_class *ret_class);

#endif
