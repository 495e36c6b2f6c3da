/* SPDX-License-Identifier: MIT */
/*
 * Reserved tensors; limits and trims on request.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/tensor/tensor.h"

#define FILE_BYTES_MAX ((off_t)64 << 20)

static bool serves_all(const struct tensor_row *row)
{
    return row->shape.type == CUPOOL_TENSOR_BYTES && row->shape.rank == 1;
}

/* Moves a tensor from busy-after-allocation to cached and reserved. The lock is held. */
static void reserved_enter(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_device *device = tensors_device(cache, number);
    struct tensor_record *record = &cache->records[number];

    record->reserved = true;
    device->stats.reserved++;
    device->stats.reserved_bytes += record->node.bytes;
    device->bytes_reserved += serves_all(&cache->rows[record->row]);
    cache->rows[record->row].reserved++;
    tensors_return(cache, number);
}

static void reserved_forget(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_device *device = tensors_device(cache, number);
    struct tensor_record *record = &cache->records[number];

    record->reserved = false;
    device->stats.reserved--;
    device->stats.reserved_bytes -= record->node.bytes;
    device->bytes_reserved -= serves_all(&cache->rows[record->row]);
    cache->rows[record->row].reserved--;
}

/* Allocates one tensor, live; chained to the earlier ones by `older`. */
static int reserved_make(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                         uint64_t bytes, tensor_stream stream, uint32_t *made)
{
    struct tensor_device *device = &cache->devices[shape->device];
    struct tensor_evicted evicted;
    int error = tensors_lock(cache);

    evicted.count = 0;
    if (error < 0)
        return error;
    uint32_t number = tensors_record_new(cache, shape, bytes, stream, &evicted);
    pthread_mutex_unlock(&cache->lock);
    tensors_evicted_free(&evicted);
    if (number == 0)
        return tensors_fail(cache, -ENOBUFS, "all tensors of the cache are in use");
    error = tensors_fill(cache, device, number, bytes, stream);
    if (error < 0)
        return error;
    cache->records[number].older = *made;
    *made = number;
    return 0;
}

int cupool_tensors_reserve(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                           cupool_stream stream, uint32_t count)
{
    uint32_t made = 0;
    uint64_t bytes;
    int error;

    if (!cache)
        return -EINVAL;
    error = tensors_request_check(cache, shape, &bytes);
    if (error < 0 || bytes == 0)
        return error;
    struct tensor_device *device = &cache->devices[shape->device];
    stream = tensors_stream(device, stream);
    for (uint32_t at = 0; at < count && error == 0; at++)
        error = reserved_make(cache, shape, bytes, stream, &made);
    for (uint32_t next; made != 0; made = next) {
        struct tensor_freed freed = {.bytes = 0};

        pthread_mutex_lock(&cache->lock);
        struct tensor_record *record = &cache->records[made];
        next = record->older;
        if (error == 0) {
            reserved_enter(cache, made);
        } else {
            freed = (struct tensor_freed){record->node.address, record->node.bytes, stream,
                                          &device->backend, record->plain};
            device->stats.live--;
            device->stats.live_bytes -= record->node.bytes;
            tensors_record_give(cache, made);
        }
        pthread_mutex_unlock(&cache->lock);
        if (freed.bytes != 0)
            tensors_evicted_free(&(struct tensor_evicted){.freed = {freed}, .count = 1});
    }
    return error;
}

int cupool_tensors_unreserve(struct cupool_tensors *cache, uint32_t device)
{
    int error = !cache || device >= cache->device_count ? -EINVAL : tensors_lock(cache);

    if (error < 0)
        return error;
    for (uint32_t at = 1; at <= cache->record_count; at++) {
        struct tensor_record *record = &cache->records[at];

        if (!record->reserved || record->state == TENSOR_UNUSED ||
            tensors_device(cache, at) != &cache->devices[device])
            continue;
        if (record->state != TENSOR_CACHED) { /* live, or being released */
            reserved_forget(cache, at);
            continue;
        }
        tensors_cached_remove(cache, at);
        reserved_forget(cache, at);
        tensors_cached_add(cache, at);
    }
    struct cupool_tensors_statistics *stats = &cache->devices[device].stats;
    uint64_t bytes = stats->limit_bytes, entries = stats->limit_entries;
    pthread_mutex_unlock(&cache->lock);
    tensors_limits_hold(cache, &cache->devices[device], bytes != 0 ? bytes : UINT64_MAX,
                        entries != 0 ? entries : UINT64_MAX, NULL);
    return 0;
}

int cupool_tensors_limit(struct cupool_tensors *cache, uint32_t device, uint64_t limit_bytes,
                         uint32_t limit_entries)
{
    int error = !cache || device >= cache->device_count ? -EINVAL : tensors_lock(cache);

    if (error < 0)
        return error;
    cache->devices[device].stats.limit_bytes = limit_bytes;
    cache->devices[device].stats.limit_entries = limit_entries;
    pthread_mutex_unlock(&cache->lock);
    tensors_limits_hold(cache, &cache->devices[device], limit_bytes != 0 ? limit_bytes : UINT64_MAX,
                        limit_entries != 0 ? limit_entries : UINT64_MAX, NULL);
    return 0;
}

int cupool_tensors_trim(struct cupool_tensors *cache, uint32_t device, uint64_t keep_bytes,
                        uint64_t *ret_bytes)
{
    int error = !cache || device >= cache->device_count ? -EINVAL : tensors_lock(cache);

    if (error < 0)
        return error;
    cache->devices[device].stats.trims++;
    pthread_mutex_unlock(&cache->lock);
    tensors_limits_hold(cache, &cache->devices[device], keep_bytes, UINT64_MAX, ret_bytes);
    return 0;
}

/** A file on its way into the cache. */
struct filling {
    struct cupool_tensors *cache;
    uint32_t device;
    uint64_t budget, bytes;
    uint32_t tensors;
};

static int wish_look(void *state, const struct tensor_wish *wish)
{
    uint64_t bytes;

    return cupool_tensor_bytes(&wish->shape, &bytes);
}

static int wish_reserve(void *state, const struct tensor_wish *wish)
{
    struct filling *filling = state;
    struct cupool_tensor_shape shape = wish->shape;
    uint32_t count = wish->count;
    uint64_t bytes;
    int error = cupool_tensor_bytes(&shape, &bytes);

    if (error < 0 || bytes == 0)
        return error;
    if (filling->budget != 0 && count > (filling->budget - filling->bytes) / bytes)
        return 0;
    shape.device = filling->device;
    error = cupool_tensors_reserve(filling->cache, &shape, TENSOR_STREAM_NONE, count);
    if (error < 0)
        return error;
    filling->bytes += bytes * count;
    filling->tensors += count;
    return 0;
}

static int text_reserve(struct filling *filling, const char *text, size_t bytes)
{
    struct cupool_tensors *cache = filling->cache;
    unsigned line = 0;
    int error = tensor_profile_read(text, bytes, wish_look, NULL, &line);

    if (error < 0) {
        pthread_mutex_lock(&cache->lock);
        snprintf(cache->text, sizeof(cache->text), "line %u has no tensors to reserve", line);
        pthread_mutex_unlock(&cache->lock);
        return tensors_fail(cache, -EINVAL, cache->text);
    }
    return tensor_profile_read(text, bytes, wish_reserve, filling, &line);
}

/* Reads a file into memory of its own: in a mapping, a file that somebody shortens would fault. */
static int file_read(int file, char *text, size_t room, size_t *ret_bytes)
{
    size_t bytes = 0;

    while (bytes < room) {
        ssize_t got = read(file, text + bytes, room - bytes);

        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        bytes += got > 0 ? (size_t)got : 0;
    }
    *ret_bytes = bytes;
    return 0;
}

static int file_reserve(struct filling *filling, int file, size_t room)
{
    void *text = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t bytes = 0;

    if (text == MAP_FAILED)
        return tensors_fail(filling->cache, -ENOMEM, "no host memory for the file");
    int error = file_read(file, text, room, &bytes);
    if (error < 0)
        tensors_fail(filling->cache, error, "the file cannot be read");
    else
        error = text_reserve(filling, text, bytes);
    munmap(text, room);
    return error;
}

int cupool_tensors_reserve_file(struct cupool_tensors *cache, const char *path, uint32_t device,
                                uint64_t budget, uint32_t *ret_tensors, uint64_t *ret_bytes)
{
    struct filling filling = {.cache = cache, .device = device, .budget = budget};
    struct stat stat;
    int error = 0;

    if (!cache || !path || device >= cache->device_count)
        return -EINVAL;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0 || fstat(file, &stat) < 0) {
        error = tensors_fail(cache, -errno, "the file cannot be opened");
        goto close_file;
    }
    if (!S_ISREG(stat.st_mode) || stat.st_size > FILE_BYTES_MAX) {
        error = tensors_fail(cache, S_ISREG(stat.st_mode) ? -EFBIG : -EINVAL,
                             "not a regular file of at most 64 MiB");
        goto close_file;
    }
    if (stat.st_size > 0)
        error = file_reserve(&filling, file, (size_t)stat.st_size);
    if (error == 0 && ret_tensors)
        *ret_tensors = filling.tensors;
    if (error == 0 && ret_bytes)
        *ret_bytes = filling.bytes;
close_file:
    if (file >= 0)
        close(file);
    return error;
}
