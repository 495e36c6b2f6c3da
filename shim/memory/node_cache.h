/* SPDX-License-Identifier: MIT */
/*
 * Allocates items of one size from chunks of kernel pages that are never given back; never enters
 * malloc.
 *
 * Threading: not thread-safe.
 */
#ifndef SHIM_MEMORY_NODE_CACHE_H
#define SHIM_MEMORY_NODE_CACHE_H

#include <stddef.h>

/** Zeroed except for item_bytes, a multiple of 8 and at least 8. */
struct node_cache {
    size_t item_bytes;
    void *spare; /* items that were given back; each begins with the next one's address */
    char *chunk; /* where items are cut from */
    size_t chunk_bytes;
};

/** A zeroed item. NULL: out of memory. */
void *node_cache_take(struct node_cache *node_cache);

void node_cache_give(struct node_cache *node_cache, void *item);

#endif
