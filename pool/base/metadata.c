/* SPDX-License-Identifier: MIT */
/*
 * Free lists by kind over chunks that are cut from the front: one chunk for segments, which every
 * free reads, and one for the rest. Kept apart, the segments of a large pool lie on few pages. The
 * link of a free object lies in its last word, so that the fields a stale reader reads first
 * (owner, lock) stay intact.
 */
#include "pool/base/metadata.h"

#include <errno.h>
#include <sys/mman.h>

#include "pool/base/lock.h"

#define CHUNK_BYTES      ((size_t)256 << 10)
#define HUGE_CHUNK_BYTES ((size_t)2 << 20)

/* After this many chunks, new ones are huge pages. So much metadata describes hundreds of MiB
 * of device memory, and accesses to it are scattered. */
#define SMALL_CHUNKS_OF_SEGMENTS 1u
#define SMALL_CHUNKS_OF_OTHERS   4u

struct chunk {
    char *rest;
    size_t left;
    unsigned small_left; /* chunks to come before they are huge pages */
};

static struct {
    struct pool_lock lock;
    /* All guarded by lock. */
    void *free[METADATA_KIND_COUNT];
    struct chunk segments, others;
} metadata = {
    .lock = POOL_LOCK_INITIALIZER(METADATA),
    .segments.small_left = SMALL_CHUNKS_OF_SEGMENTS,
    .others.small_left = SMALL_CHUNKS_OF_OTHERS,
};

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

void metadata_unmap(void *memory, size_t bytes)
{
    int saved_errno = errno;

    munmap(memory, bytes);
    errno = saved_errno;
}

/* Maps a chunk on one huge page if the kernel has one. */
static char *huge_chunk_map(void)
{
    char *memory = metadata_map(2 * HUGE_CHUNK_BYTES);

    if (!memory)
        return NULL;
    size_t before = -(uintptr_t)memory & (HUGE_CHUNK_BYTES - 1);
    int saved_errno = errno;
    if (before > 0)
        munmap(memory, before);
    munmap(memory + before + HUGE_CHUNK_BYTES, HUGE_CHUNK_BYTES - before);
    madvise(memory + before, HUGE_CHUNK_BYTES, MADV_HUGEPAGE);
    errno = saved_errno;
    return memory + before;
}

static bool chunk_renew(struct chunk *chunk)
{
    bool huge = chunk->small_left == 0;
    char *memory = huge ? huge_chunk_map() : metadata_map(CHUNK_BYTES);

    if (!memory)
        return false;
    chunk->rest = memory;
    chunk->left = huge ? HUGE_CHUNK_BYTES : CHUNK_BYTES;
    chunk->small_left -= !huge;
    return true;
}

static void *chunk_cut(struct chunk *chunk, size_t bytes)
{
    size_t alignment = bytes % POOL_CACHE_LINE ? 16 : POOL_CACHE_LINE;
    size_t padding = -(uintptr_t)chunk->rest & (alignment - 1);

    if (chunk->left < bytes + padding) {
        if (!chunk_renew(chunk))
            return NULL;
        padding = 0;
    }
    void *object = chunk->rest + padding;
    chunk->rest += bytes + padding;
    chunk->left -= bytes + padding;
    return object;
}

void *metadata_allocate(enum metadata_kind kind, size_t bytes, pool_count *account)
{
    pool_assert(bytes % 16 == 0 && bytes <= CHUNK_BYTES);
    pool_lock_acquire(&metadata.lock);
    void *object = metadata.free[kind];
    if (object)
        metadata.free[kind] = *link_of(object, bytes);
    else
        object = chunk_cut(kind == METADATA_SEGMENT ? &metadata.segments : &metadata.others, bytes);
    pool_lock_release(&metadata.lock);
    if (object)
        count_add_shared(account, bytes);
    return object;
}

void metadata_free(enum metadata_kind kind, void *object, size_t bytes, pool_count *account)
{
    if (!object)
        return;
    count_add_shared(account, -(uint64_t)bytes);
    pool_lock_acquire(&metadata.lock);
    *link_of(object, bytes) = metadata.free[kind];
    metadata.free[kind] = object;
    pool_lock_release(&metadata.lock);
}

void metadata_fork_child(void)
{
    for (int kind = 0; kind < METADATA_KIND_COUNT; kind++)
        metadata.free[kind] = NULL;
    metadata.segments = (struct chunk){.small_left = SMALL_CHUNKS_OF_SEGMENTS};
    metadata.others = (struct chunk){.small_left = SMALL_CHUNKS_OF_OTHERS};
    pool_lock_init(&metadata.lock, POOL_LOCK_METADATA);
}
