/* SPDX-License-Identifier: MIT */
/*
 * The descriptor has a number far above those a program uses, and before each use it is compared
 * with its file: a program that closes every descriptor and opens files must not find trace blocks
 * in them. If the number now belongs to another file, the trace is reopened by its path.
 */
#include "cupti/write/trace_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/file_space.h"
#include "cupti/base/outplace.h"
#include "cupti/base/pages.h"
#include "cupti/base/uncancelled.h"

#define FEWEST_BLOCKS       8  /* of a file with a limit */
#define FIRST_STEP_BLOCKS   16 /* 1 MiB */
#define LONGEST_STEP_BLOCKS 64 /* 4 MiB: reserving more at once would hold a call up for long */
#define HIGH_DESCRIPTOR     900
#define NAME_ATTEMPTS       1000

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/** Moves a descriptor out of the range of the program's own. */
static int descriptor_raise(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);

    if (high < 0)
        return fd;
    close(fd);
    return high;
}

static int file_create(const char *path)
{
    int fd = outplace_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

    return fd < 0 ? fd : descriptor_raise(fd);
}

static int path_absolute(const char *path, char *ret_path, size_t ret_path_bytes)
{
    size_t used = 0, length = strlen(path);

    if (path[0] != '/') {
        if (!getcwd(ret_path, ret_path_bytes))
            return -errno;
        used = strlen(ret_path);
        if (used + 1 >= ret_path_bytes)
            return -ENAMETOOLONG;
        ret_path[used++] = '/';
    }
    if (used + length >= ret_path_bytes)
        return -ENAMETOOLONG;
    memcpy(ret_path + used, path, length + 1);
    return 0;
}

/** Whether a name leads to something other than a file: no trace is made beside a device or a
 * pipe. */
static bool is_special(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

/** Creates the first available of PATH, PATH.PID, PATH.PID.1, … */
static int file_create_fresh(const char *path, char *ret_path, size_t ret_path_bytes)
{
    int error = path_absolute(path, ret_path, ret_path_bytes), length = 0;
    size_t used = error == 0 ? strlen(ret_path) : 0;

    for (int i = -1; error == 0 && i < NAME_ATTEMPTS; i++) {
        if (i == 0)
            length = snprintf(ret_path + used, ret_path_bytes - used, ".%d", getpid());
        else if (i > 0)
            length = snprintf(ret_path + used, ret_path_bytes - used, ".%d.%d", getpid(), i);
        if (length < 0 || (size_t)length >= ret_path_bytes - used)
            return -ENAMETOOLONG;
        error = file_create(ret_path);
        if (error != -EEXIST)
            return error;
        error = i < 0 && is_special(ret_path) ? -EINVAL : 0;
    }
    return error < 0 ? error : -EEXIST;
}

static bool descriptor_is_ours(const struct trace_store *store)
{
    struct stat status;

    return store->fd >= 0 && fstat(store->fd, &status) == 0 && status.st_dev == store->device &&
           status.st_ino == store->inode;
}

static int descriptor_ensure_locked(struct trace_store *store)
{
    int fd;

    UNCANCELLED;

    if (descriptor_is_ours(store))
        return 0;
    /* The path is not walked: the file is compared below, and few descriptors may be left. */
    fd = open(store->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    store->fd = descriptor_raise(fd);
    if (descriptor_is_ours(store))
        return 0;
    close(store->fd);
    store->fd = -1;
    return -ESTALE;
}

static int step_map_locked(struct trace_store *store, uint64_t step_blocks)
{
    uint64_t step_bytes = step_blocks * TRACE_BLOCK_BYTES;
    void *chunk;
    int error = file_space_reserve(store->fd, store->reserved_bytes,
                                   store->reserved_bytes + step_bytes);

    if (error < 0)
        return error;
    chunk = mmap(NULL, step_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, store->fd,
                 (off_t)store->reserved_bytes);
    if (chunk == MAP_FAILED)
        return -errno;
    /* Written pages stay in the file; they need not stay in this process's memory. */
    if (store->chunk)
        madvise(store->chunk, store->chunk_blocks * TRACE_BLOCK_BYTES, MADV_DONTNEED);
    store->chunk = chunk;
    store->chunk_blocks = step_blocks;
    store->chunk_used = 0;
    store->reserved_bytes += step_bytes;
    return 0;
}

static uint64_t step_wanted_locked(const struct trace_store *store)
{
    uint64_t left = store->most_blocks - store->reserved_bytes / TRACE_BLOCK_BYTES;

    return store->most_blocks && left < store->step_blocks ? left : store->step_blocks;
}

/** Grows by a step, or by the largest part of one that fits. */
static int grow_locked(struct trace_store *store)
{
    int error = descriptor_ensure_locked(store);

    if (error < 0)
        return error;
    for (uint64_t step = step_wanted_locked(store); step > 0; step /= 2) {
        error = step_map_locked(store, step);
        if (error == 0) {
            if (store->step_blocks < LONGEST_STEP_BLOCKS)
                store->step_blocks *= 2;
            return 0;
        }
        if (error != -ENOSPC && error != -EDQUOT && error != -EFBIG)
            return error;
    }
    return error;
}

/** On a file system that shares or compresses blocks, reserved space may still be missing. */
static int block_populate(void *block)
{
    if (madvise(block, TRACE_BLOCK_BYTES, MADV_POPULATE_WRITE) == 0)
        return 0;
    return errno == EFAULT || errno == ENOMEM ? -ENOSPC : 0;
}

/** A block the file has not used yet. */
static int fresh_take_locked(struct trace_store *store, void **ret_block)
{
    void *block;
    int error;

    if (store->most_blocks && store->blocks >= store->most_blocks)
        return -EAGAIN;
    error = store->chunk_used == store->chunk_blocks ? grow_locked(store) : 0;
    if (error < 0)
        return error;
    if (store->blocks > UINT32_MAX)
        return -EFBIG;
    block = store->chunk + store->chunk_used * TRACE_BLOCK_BYTES;
    error = block_populate(block);
    if (error < 0)
        return error;
    store->chunk_used++;
    store->blocks++;
    *ret_block = block;
    return 0;
}

/** Returns a block that was given back. Its header already says that it is unused. */
static int spare_take_locked(struct trace_store *store, uint32_t *ret_position, void **ret_block)
{
    uint32_t position = store->spare[--store->spares];
    void *block = store->at[position].block;
    int error = block_populate(block);

    if (error < 0) {
        store->spares++;
        return error;
    }
    memset(block, 0, TRACE_BLOCK_BYTES);
    *ret_position = position;
    *ret_block = block;
    return 0;
}

int trace_store_take_locked(struct trace_store *store, enum trace_store_use use, void **ret_block,
                            uint32_t *ret_sequence)
{
    uint32_t position = (uint32_t)store->blocks;
    int error;

    if (store->spares)
        error = spare_take_locked(store, &position, ret_block);
    else
        error = fresh_take_locked(store, ret_block);
    /* On a full disk, a file with a limit continues with the space it has. */
    if ((error == -ENOSPC || error == -EDQUOT || error == -EFBIG) && store->at &&
        store->blocks >= FEWEST_BLOCKS) {
        store->most_blocks = store->blocks;
        store->limit_error = error;
        error = -EAGAIN;
    }
    if (error < 0)
        return error;
    *ret_sequence = store->sequence++;
    if (store->at)
        store->at[position] = (struct trace_store_place){
            .block = *ret_block, .sequence = *ret_sequence, .use = (uint8_t)use};
    return 0;
}

void trace_store_return_locked(struct trace_store *store, uint32_t position)
{
    __atomic_store_n(&store->at[position].block->magic, 0, __ATOMIC_RELEASE);
    store->at[position].use = TRACE_STORE_UNUSED;
    store->spare[store->spares++] = position;
}

uint64_t trace_store_left_locked(const struct trace_store *store)
{
    return store->spares + store->most_blocks - store->blocks;
}

int trace_store_block(struct trace_store *store, enum trace_store_use use, void **ret_block,
                      uint32_t *ret_sequence)
{
    int error = atomic_load_explicit(&store->error, memory_order_relaxed);

    if (error < 0)
        return error;
    pthread_mutex_lock(&store->lock);
    error = atomic_load_explicit(&store->error, memory_order_relaxed);
    if (error == 0)
        error = trace_store_take_locked(store, use, ret_block, ret_sequence);
    if (error < 0 && error != -EAGAIN)
        atomic_store_explicit(&store->error, error, memory_order_relaxed);
    pthread_mutex_unlock(&store->lock);
    return error;
}

/** Makes the tables for a file with a limit; one of its blocks is left for the EXIT record. */
static int limit_set(struct trace_store *store, uint64_t most_bytes)
{
    uint64_t blocks = most_bytes / TRACE_BLOCK_BYTES;

    if (blocks > UINT32_MAX)
        blocks = UINT32_MAX;
    if (blocks <= FEWEST_BLOCKS)
        return -EINVAL;
    store->most_blocks = blocks - 1;
    store->limit_error = -EFBIG;
    store->at = pages_map(blocks * sizeof *store->at);
    store->spare = pages_map(blocks * sizeof *store->spare);
    return store->at && store->spare ? 0 : -ENOMEM;
}

int trace_store_open(struct trace_store *ret_store, const char *path, uint64_t most_bytes)
{
    struct stat status;
    int fd;

    memset(ret_store, 0, sizeof *ret_store);
    fd = most_bytes ? limit_set(ret_store, most_bytes) : 0;
    if (fd < 0)
        return fd;
    fd = file_create_fresh(path, ret_store->path, sizeof ret_store->path);
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    pthread_mutex_init(&ret_store->lock, NULL);
    ret_store->fd = fd;
    ret_store->device = status.st_dev;
    ret_store->inode = status.st_ino;
    ret_store->step_blocks = FIRST_STEP_BLOCKS;
    return 0;
}

void trace_store_finish(struct trace_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (store->fd >= 0 && descriptor_ensure_locked(store) == 0) {
        if (ftruncate(store->fd, (off_t)(store->blocks * TRACE_BLOCK_BYTES)) < 0)
            atomic_store_explicit(&store->error, -errno, memory_order_relaxed);
        close(store->fd);
    }
    store->fd = -1;
    if (atomic_load_explicit(&store->error, memory_order_relaxed) == 0)
        atomic_store_explicit(&store->error, -EBADF, memory_order_relaxed);
    pthread_mutex_unlock(&store->lock);
}

void trace_store_abandon(struct trace_store *store)
{
    if (descriptor_is_ours(store))
        close(store->fd);
    store->fd = -1;
}
