/* SPDX-License-Identifier: MIT */
/*
 * Items of one size, cut from chunks of the kernel's pages that are never given back; nothing here
 * enters malloc.
 *
 * Threading: not thread-safe.
 */
#ifndef SHIM_MEMORY_SLAB_H
#define SHIM_MEMORY_SLAB_H

#include <stddef.h>

/** Zeroed but for item_bytes, a multiple of 8 and at least that. */
struct slab {
    size_t item_bytes;
    void *spare; /* items that were given back; each begins with the next one's address */
    char *chunk; /* where items are cut from */
    size_t chunk_bytes;
};

/** A zeroed item. NULL: out of memory. */
void *slab_take(struct slab *slab);

void slab_give(struct slab *slab, void *item);

#endif
