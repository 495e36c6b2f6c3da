/* SPDX-License-Identifier: MIT */
/*
 * Host memory of a pool: zeroed, aligned to a cache line, taken at creation and never after.
 *
 * Threading: the owner's lock; the hook for tests is set before any pool exists.
 */
#ifndef POOL_KV_HEAP_H
#define POOL_KV_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define KV_HEAP_BLOCKS 32

/** All memory of an object, freed by one call. */
struct kv_heap {
    struct kv_heap_block {
        void *memory;
        size_t bytes;
    } blocks[KV_HEAP_BLOCKS];
    unsigned count;
    size_t bytes;
};

/** Allocates. NULL when there is none. Large ones are mapped, in huge pages if the system has
 * them. */
void *kv_heap_allocate(struct kv_heap *heap, size_t count, size_t bytes);
void kv_heap_done(struct kv_heap *heap);

/** For tests: called before each allocation; nonzero refuses it. */
extern int (*kv_heap_refuse)(size_t bytes);

#endif
