/* SPDX-License-Identifier: MIT */
/*
 * Items of one size, cut from chunks of pages.
 */
#include "shim/memory/node_cache.h"

#include <string.h>

#include "cupti/base/pages.h"

#define CHUNK_BYTES ((size_t)1 << 18)

void *node_cache_take(struct node_cache *node_cache)
{
    void **spare = node_cache->spare;

    if (spare) {
        node_cache->spare = *spare;
        return memset(spare, 0, node_cache->item_bytes);
    }
    if (node_cache->chunk_bytes < node_cache->item_bytes) {
        node_cache->chunk = pages_map(CHUNK_BYTES);
        node_cache->chunk_bytes = node_cache->chunk ? CHUNK_BYTES : 0;
    }
    if (!node_cache->chunk)
        return NULL;
    void *item = node_cache->chunk;
    node_cache->chunk += node_cache->item_bytes;
    node_cache->chunk_bytes -= node_cache->item_bytes;
    return item;
}

void node_cache_give(struct node_cache *node_cache, void *item)
{
    void **spare = item;

    *spare = node_cache->spare;
    node_cache->spare = spare;
}
