/* SPDX-License-Identifier: MIT */
/*
 * Creation and end of a cache; acquire and release.
 */
#include <errno.h>
#include <string.h>

#include "pool/base/forks.h"
#include "pool/base/stream.h"
#include "pool/tensor/tensor.h"

#define RECORDS_MAX (UINT32_C(1) << 24)

void cupool_tensors_config_init(struct cupool_tensors_config *config)
{
    *config = (struct cupool_tensors_config){.tensors = 4096, .shapes = 1024};
}

const char *cupool_tensors_error(const struct cupool_tensors *cache)
{
    const char *text = atomic_load_explicit(&cache->error, memory_order_acquire);

    return text ? text : "";
}

int tensors_fail(struct cupool_tensors *cache, int error, const char *text)
{
    atomic_store_explicit(&cache->error, text, memory_order_release);
    return error;
}

int tensors_lock(struct cupool_tensors *cache)
{
    if (cache->forks != forks_count())
        return tensors_fail(cache, -ECHILD, "the cache belongs to the parent process");
    pthread_mutex_lock(&cache->lock);
    return 0;
}

static int arrays_make(struct cupool_tensors *cache)
{
    uint32_t buckets = 1;

    while (buckets < 2 * cache->row_count)
        buckets *= 2;
    cache->bucket_mask = buckets - 1;
    cache->records = kv_heap_allocate(&cache->heap, cache->record_count + 1,
                                      sizeof(*cache->records));
    cache->rows = kv_heap_allocate(&cache->heap, cache->row_count + 1, sizeof(*cache->rows));
    cache->buckets = kv_heap_allocate(&cache->heap, buckets, sizeof(*cache->buckets));
    cache->devices = kv_heap_allocate(&cache->heap, cache->device_count, sizeof(*cache->devices));
    if (!cache->records || !cache->rows || !cache->buckets || !cache->devices)
        return -ENOMEM;
    for (uint32_t at = cache->record_count; at > 0; at--) {
        cache->records[at].generation = 1;
        cache->records[at].next = cache->unused_record;
        cache->unused_record = at;
    }
    for (uint32_t at = cache->row_count; at > 0; at--) {
        cache->rows[at].chain = cache->unused_row;
        cache->unused_row = at;
    }
    return 0;
}

int tensors_create(const struct cupool_tensors_config *config,
                   const struct tensor_backend *backends, struct cupool_tensors **ret_cache)
{
    struct kv_heap heap = {.count = 0};

    if (config->device_count == 0 || config->device_count > CUPOOL_TENSOR_DEVICES_MAX ||
        config->tensors == 0 || config->tensors > RECORDS_MAX || config->shapes == 0 ||
        config->shapes > RECORDS_MAX)
        return -EINVAL;
    struct cupool_tensors *cache = kv_heap_allocate(&heap, 1, sizeof(*cache));
    if (!cache)
        return -ENOMEM;
    cache->heap = heap;
    cache->record_count = config->tensors;
    cache->row_count = config->shapes;
    cache->device_count = config->device_count;
    cache->forks = forks_count();
    int error = arrays_make(cache);
    if (error < 0) {
        heap = cache->heap;
        kv_heap_done(&heap);
        return error;
    }
    pthread_mutex_init(&cache->lock, NULL);
    for (uint32_t at = 0; at < cache->device_count; at++) {
        struct tensor_device *device = &cache->devices[at];

        device->backend = backends[at];
        device->tree.random = at + 1;
        device->stats.limit_bytes = config->limit_bytes;
        device->stats.limit_entries = config->limit_entries;
    }
    *ret_cache = cache;
    return 0;
}

static void memory_free(const struct tensor_backend *backend, const struct tensor_record *record)
{
    if (record->node.bytes == 0)
        return;
    if (record->plain)
        backend->plain_free(backend->state, record->node.address, record->node.bytes);
    else
        backend->free(backend->state, record->node.address, record->last);
}

void cupool_tensors_destroy(struct cupool_tensors *cache)
{
    if (!cache)
        return;
    for (uint32_t at = 1; at <= cache->record_count && cache->forks == forks_count(); at++) {
        struct tensor_record *record = &cache->records[at];

        if (record->state != TENSOR_LIVE && record->state != TENSOR_CACHED)
            continue;
        const struct tensor_backend *backend = &tensors_device(cache, at)->backend;
        if (record->state == TENSOR_LIVE)
            record->last = cache->rows[record->row].stream;
        tensors_fence_forget(backend, record);
        memory_free(backend, record);
    }
    struct kv_heap heap = cache->heap;
    pthread_mutex_destroy(&cache->lock);
    kv_heap_done(&heap);
}

int tensors_memory(struct cupool_tensors *cache, struct tensor_device *device, uint64_t bytes,
                   tensor_stream stream, uint64_t *ret_address, bool *ret_plain)
{
    const struct tensor_backend *backend = &device->backend;
    int error = backend->allocate(backend->state, bytes, stream, ret_address);

    *ret_plain = false;
    if (error != -ENOMEM)
        return error;
    tensors_limits_hold(cache, device, 0, 0, NULL);
    backend->relieve(backend->state);
    pthread_mutex_lock(&cache->lock);
    device->stats.trims++;
    device->stats.retries++;
    pthread_mutex_unlock(&cache->lock);
    error = backend->allocate(backend->state, bytes, stream, ret_address);
    if (error != -ENOMEM)
        return error;
    error = backend->plain_allocate(backend->state, bytes, ret_address);
    if (error < 0)
        return error;
    *ret_plain = true;
    return 0;
}

void tensors_live(struct cupool_tensors *cache, uint32_t number, tensor_stream stream)
{
    struct tensor_record *record = &cache->records[number];
    struct tensor_device *device = tensors_device(cache, number);

    record->state = TENSOR_LIVE;
    record->last = stream;
    device->stats.live++;
    device->stats.live_bytes += record->node.bytes;
    tensors_held_count(device);
}

static cupool_tensor handle_of(const struct cupool_tensors *cache, uint32_t number)
{
    return (uint64_t)cache->records[number].generation << 32 | number;
}

int tensors_fill(struct cupool_tensors *cache, struct tensor_device *device, uint32_t number,
                 uint64_t bytes, tensor_stream stream)
{
    struct tensor_record *record = &cache->records[number];
    uint64_t address = 0;
    bool plain = false;
    int error = bytes == 0 ? 0 : tensors_memory(cache, device, bytes, stream, &address, &plain);

    pthread_mutex_lock(&cache->lock);
    record->node.address = address;
    record->node.bytes = bytes;
    record->plain = plain;
    device->stats.plain += plain;
    if (error < 0) {
        device->stats.failures++;
        tensors_record_give(cache, number);
    } else {
        tensors_live(cache, number, stream);
    }
    pthread_mutex_unlock(&cache->lock);
    return error < 0 ? tensors_fail(cache, error, "the device does not have that much memory") : 0;
}

int tensors_request_check(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                          uint64_t *ret_bytes)
{
    int error = cupool_tensor_bytes(shape, ret_bytes);

    if (error < 0)
        return tensors_fail(cache, error,
                            error == -EINVAL ? "invalid shape" : "the shape overflows");
    if (shape->device >= cache->device_count)
        return tensors_fail(cache, -EINVAL, "the cache has no such device");
    return 0;
}

/* Serves a request from the cache, or prepares a record that needs memory (ret_hit false). */
static int request_serve(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                         uint64_t bytes, tensor_stream stream, size_t waste, uint32_t *ret_number,
                         bool *ret_hit)
{
    struct tensor_device *device = &cache->devices[shape->device];
    struct tensor_evicted evicted;
    bool fit = false;
    int error = tensors_lock(cache);

    evicted.count = 0;
    if (error < 0)
        return error;
    uint32_t row = tensors_row(cache, shape, stream, bytes, true);
    uint32_t number = bytes == 0 ? 0 : tensors_find(cache, row, shape, bytes, stream, waste, &fit);
    *ret_hit = number != 0;
    device->stats.acquires++;
    device->stats.hits += *ret_hit;
    device->stats.misses += !*ret_hit;
    device->stats.fits += fit;
    if (row != 0) {
        cache->rows[row].hits += *ret_hit;
        cache->rows[row].misses += !*ret_hit;
    }
    if (number != 0) {
        tensors_live(cache, number, stream);
    } else {
        number = tensors_record_new(cache, shape, bytes, stream, &evicted);
        device->stats.failures += number == 0;
    }
    pthread_mutex_unlock(&cache->lock);
    tensors_evicted_free(&evicted);
    *ret_number = number;
    return number == 0 ? tensors_fail(cache, -ENOBUFS, "all tensors of the cache are in use") : 0;
}

int cupool_tensors_acquire(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                           cupool_stream stream, size_t waste, cupool_tensor *ret_tensor,
                           void **ret_memory)
{
    uint64_t bytes;
    uint32_t number;
    bool hit;

    if (!cache || !ret_tensor || !ret_memory)
        return -EINVAL;
    int error = tensors_request_check(cache, shape, &bytes);
    if (error < 0)
        return error;
    struct tensor_device *device = &cache->devices[shape->device];
    stream = tensors_stream(device, stream);
    error = request_serve(cache, shape, bytes, stream, waste, &number, &hit);
    if (error == 0 && !hit)
        error = tensors_fill(cache, device, number, bytes, stream);
    if (error < 0)
        return error;
    *ret_tensor = handle_of(cache, number);
    *ret_memory = (void *)(uintptr_t)cache->records[number].node.address;
    return 0;
}

/* Returns the record of a live handle; the lock is held. 0 with the error. */
static uint32_t record_of(struct cupool_tensors *cache, cupool_tensor tensor, int *ret_error)
{
    uint32_t number = (uint32_t)tensor, generation = (uint32_t)(tensor >> 32);

    if (number == 0 || number > cache->record_count || generation == 0 ||
        generation > cache->records[number].generation) {
        *ret_error = tensors_fail(cache, -EINVAL, "not a tensor of the cache");
        return 0;
    }
    if (generation != cache->records[number].generation ||
        cache->records[number].state != TENSOR_LIVE) {
        *ret_error = tensors_fail(cache, -ESTALE, "the tensor was already released");
        return 0;
    }
    return number;
}

void tensors_return(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_record *record = &cache->records[number];
    struct tensor_device *device = tensors_device(cache, number);

    device->stats.live--;
    device->stats.live_bytes -= record->node.bytes;
    record->generation++;
    if (record->node.bytes == 0)
        tensors_record_give(cache, number);
    else
        tensors_cached_add(cache, number);
    tensors_held_count(device);
}

int cupool_tensors_release(struct cupool_tensors *cache, cupool_tensor tensor, cupool_stream stream)
{
    uint64_t fence = 0;
    int error = tensors_lock(cache);

    if (error < 0)
        return error;
    uint32_t number = record_of(cache, tensor, &error);
    if (number == 0) {
        uint32_t device = (uint32_t)tensor <= cache->record_count && (uint32_t)tensor != 0 &&
                                  cache->records[(uint32_t)tensor].row != 0
                              ? cache->rows[cache->records[(uint32_t)tensor].row].shape.device
                              : 0;

        cache->devices[device].stats.stale++;
        pthread_mutex_unlock(&cache->lock);
        return error;
    }
    struct tensor_record *record = &cache->records[number];
    struct tensor_device *device = tensors_device(cache, number);
    stream = tensors_stream(device, stream);
    bool fenced = stream != TENSOR_STREAM_NONE &&
                  !stream_same(stream, cache->rows[record->row].stream) && record->node.bytes != 0;
    record->state = TENSOR_BUSY;
    if (fenced) {
        pthread_mutex_unlock(&cache->lock);
        error = device->backend.fence_record(device->backend.state, stream, &fence);
        pthread_mutex_lock(&cache->lock);
    }
    if (error == 0) {
        record->last = stream;
        record->fence = fence;
        record->has_fence = fenced;
        device->stats.releases++;
        tensors_return(cache, number);
    } else {
        record->state = TENSOR_LIVE;
    }
    uint64_t bytes = device->stats.limit_bytes, entries = device->stats.limit_entries;
    bool over = (bytes != 0 && device->stats.cached_bytes > bytes) ||
                (entries != 0 && device->stats.cached > entries);
    pthread_mutex_unlock(&cache->lock);
    if (over)
        tensors_limits_hold(cache, device, bytes != 0 ? bytes : UINT64_MAX,
                            entries != 0 ? entries : UINT64_MAX, NULL);
    return error < 0 ? tensors_fail(cache, error, "no event can be recorded on this stream now")
                     : 0;
}

int cupool_tensors_describe(struct cupool_tensors *cache, cupool_tensor tensor,
                            struct cupool_tensor_info *ret_info)
{
    int error = tensors_lock(cache);

    if (error < 0)
        return error;
    uint32_t number = record_of(cache, tensor, &error);
    if (number != 0) {
        const struct tensor_record *record = &cache->records[number];

        *ret_info = (struct cupool_tensor_info){
            .shape = cache->rows[record->row].shape,
            .memory = (void *)(uintptr_t)record->node.address,
            .bytes = record->node.bytes,
            .reserved = record->reserved,
        };
    }
    pthread_mutex_unlock(&cache->lock);
    return error;
}
