/* SPDX-License-Identifier: MIT */
/*
 * Free lists by kind over a chunk that is cut from the front. The link of a free object lies in its
 * last word, so that the fields a stale reader looks at first (owner, lock) are left alone.
 */
#include "pool/metadata.h"

#include <errno.h>
#include <sys/mman.h>

#include "pool/lock.h"

#define CHUNK_BYTES ((size_t)256 << 10)

static struct {
    struct pool_lock lock;
    /* All guarded by lock. */
    void *free[METADATA_KIND_COUNT];
    char *chunk;
    size_t chunk_left;
} metadata = {.lock = POOL_LOCK_INITIALIZER(METADATA)};

static void **link_of(void *object, size_t bytes)
{
    return (void **)(void *)((char *)object + bytes - sizeof(void *));
}

void *metadata_map(size_t bytes)
{
    int saved_errno = errno;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved_errno;
    return memory == MAP_FAILED ? NULL : memory;
}

static void *chunk_cut_locked(size_t bytes)
{
    size_t alignment = bytes % POOL_CACHE_LINE ? 16 : POOL_CACHE_LINE;
    size_t padding = -(uintptr_t)metadata.chunk & (alignment - 1);
    if (metadata.chunk_left < bytes + padding) {
        char *chunk = metadata_map(CHUNK_BYTES);
        if (chunk == NULL)
            return NULL;
        metadata.chunk = chunk;
        metadata.chunk_left = CHUNK_BYTES;
        padding = 0;
    }
    void *object = metadata.chunk + padding;
    metadata.chunk += bytes + padding;
    metadata.chunk_left -= bytes + padding;
    return object;
}

void *metadata_allocate(enum metadata_kind kind, size_t bytes, pool_count *account)
{
    pool_assert(bytes % 16 == 0 && bytes <= CHUNK_BYTES);
    pool_lock_acquire(&metadata.lock);
    void *object = metadata.free[kind];
    if (object != NULL)
        metadata.free[kind] = *link_of(object, bytes);
    else
        object = chunk_cut_locked(bytes);
    pool_lock_release(&metadata.lock);
    if (object != NULL)
        count_add_shared(account, bytes);
    return object;
}

void metadata_free(enum metadata_kind kind, void *object, size_t bytes, pool_count *account)
{
    if (object == NULL)
        return;
    count_add_shared(account, -(uint64_t)bytes);
    pool_lock_acquire(&metadata.lock);
    *link_of(object, bytes) = metadata.free[kind];
    metadata.free[kind] = object;
    pool_lock_release(&metadata.lock);
}

void metadata_fork_prepare(void)
{
    pool_lock_acquire_among_equals(&metadata.lock);
}

void metadata_fork_parent(void)
{
    pool_lock_release(&metadata.lock);
}

void metadata_fork_child(void)
{
    for (int kind = 0; kind < METADATA_KIND_COUNT; kind++)
        metadata.free[kind] = NULL;
    metadata.chunk = NULL;
    metadata.chunk_left = 0;
    pool_lock_init(&metadata.lock, POOL_LOCK_METADATA);
}
