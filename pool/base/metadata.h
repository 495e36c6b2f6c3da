/* SPDX-License-Identifier: MIT */
/*
 * Host memory for bookkeeping, from mmap and never from malloc: the program may interpose malloc,
 * and the pool may be called from inside it.
 *
 * Memory is type-stable: an object is only ever reused as the same kind and never unmapped. A
 * thread with a stale pointer (an address freed twice at the same time) therefore always finds a
 * valid lock, takes it, and sees that the object has changed.
 *
 * One process-wide allocator, guarded by its own lock; off the hit path.
 */
#ifndef POOL_BASE_METADATA_H
#define POOL_BASE_METADATA_H

#include "pool/base/base.h"
#include "pool/base/size_class.h"

/** Kinds of object. Slabs with different numbers of objects are different kinds. */
enum metadata_kind {
    METADATA_POOL,
    METADATA_SHARD,
    METADATA_SEGMENT,
    METADATA_RUN,
    METADATA_BLOCK,
    METADATA_QUEUE,
    METADATA_IDS,
    METADATA_EXTENT,
    METADATA_HANDLE,
    METADATA_SLAB,
    METADATA_KIND_COUNT = METADATA_SLAB + SIZE_SLAB_OBJECTS_MAX,
};

/**
 * Allocates an object of a kind, `bytes` long (always the same for a kind), aligned to 16 B, and
 * to a cache line when `bytes` is a multiple of one. Zeroed only the first time it is handed out.
 * Adds to `account`. NULL when the host has no memory.
 */
void *metadata_allocate(enum metadata_kind kind, size_t bytes, pool_count *account);

/** Frees an object; overwrites its last 8 bytes, keeps the rest. NULL is accepted. */
void metadata_free(enum metadata_kind kind, void *object, size_t bytes, pool_count *account);

/** Returns a zeroed mapping; NULL when the host has no memory. */
void *metadata_map(size_t bytes);

/** Unmaps such a mapping; nobody may access it any more. */
void metadata_unmap(void *memory, size_t bytes);

/** Forgets everything: the parent's objects stay as they are and are never used again. */
void metadata_fork_child(void);

#endif
