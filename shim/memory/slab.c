/* SPDX-License-Identifier: MIT */
/*
 * Items of one size. See slab.h.
 */
#include "shim/memory/slab.h"

#include <string.h>

#include "cupti/base/pages.h"

#define CHUNK_BYTES ((size_t)1 << 18)

void *slab_take(struct slab *slab)
{
    void **spare = slab->spare;
    if (spare) {
        slab->spare = *spare;
        return memset(spare, 0, slab->item_bytes);
    }
    if (slab->chunk_bytes < slab->item_bytes) {
        slab->chunk = pages_map(CHUNK_BYTES);
        slab->chunk_bytes = slab->chunk ? CHUNK_BYTES : 0;
    }
    if (!slab->chunk)
        return NULL;
    void *item = slab->chunk;
    slab->chunk += slab->item_bytes;
    slab->chunk_bytes -= slab->item_bytes;
    return item;
}

void slab_give(struct slab *slab, void *item)
{
    void **spare = item;
    *spare = slab->spare;
    slab->spare = spare;
}
