/* SPDX-License-Identifier: MIT */
/*
 * Host memory in a list of fixed length: an object knows at most KV_HEAP_BLOCKS arrays.
 */
#include "pool/kv/heap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAPPED_FROM ((size_t)4 << 20)

int (*kv_heap_refuse)(size_t bytes);

static void *memory_take(size_t bytes)
{
    void *memory = NULL;

    if (bytes < MAPPED_FROM)
        return posix_memalign(&memory, 64, bytes) == 0 ? memset(memory, 0, bytes) : NULL;
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

void *kv_heap_allocate(struct kv_heap *heap, size_t count, size_t bytes)
{
    size_t all;
    void *memory;

    if (__builtin_mul_overflow(count, bytes, &all) || all > SIZE_MAX / 2)
        return NULL;
    all = (all + 63) / 64 * 64 + (all == 0 ? 64 : 0);
    if (heap->count == KV_HEAP_BLOCKS || (kv_heap_refuse && kv_heap_refuse(all)))
        return NULL;
    memory = memory_take(all);
    if (!memory)
        return NULL;
    heap->blocks[heap->count++] = (struct kv_heap_block){.memory = memory, .bytes = all};
    heap->bytes += all;
    return memory;
}

void kv_heap_done(struct kv_heap *heap)
{
    while (heap->count > 0) {
        struct kv_heap_block *block = &heap->blocks[--heap->count];

        if (block->bytes < MAPPED_FROM)
            free(block->memory);
        else
            munmap(block->memory, block->bytes);
    }
    heap->bytes = 0;
}
