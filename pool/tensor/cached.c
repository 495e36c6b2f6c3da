/* SPDX-License-Identifier: MIT */
/*
 * Cached tensors: the choice of one for a request, and of one to evict.
 */
#include "pool/base/stream.h"
#include "pool/tensor/tensor.h"

void tensors_held_count(struct tensor_device *device)
{
    struct cupool_tensors_statistics *stats = &device->stats;
    /* Reserved ones in use count in both live and reserved. */
    uint64_t held = stats->live_bytes + stats->cached_bytes + device->tree_reserved_bytes;

    if (held > stats->peak_bytes)
        stats->peak_bytes = held;
    if (stats->cached_bytes > stats->peak_cached_bytes)
        stats->peak_cached_bytes = stats->cached_bytes;
}

static void order_add(struct cupool_tensors *cache, struct tensor_device *device, uint32_t number)
{
    struct tensor_record *record = &cache->records[number];

    record->older = device->newest;
    record->newer = 0;
    if (device->newest != 0)
        cache->records[device->newest].newer = number;
    else
        device->oldest = number;
    device->newest = number;
    device->stats.cached++;
    device->stats.cached_bytes += record->node.bytes;
}

static void order_remove(struct cupool_tensors *cache, struct tensor_device *device,
                         uint32_t number)
{
    struct tensor_record *record = &cache->records[number];

    if (record->older != 0)
        cache->records[record->older].newer = record->newer;
    else
        device->oldest = record->newer;
    if (record->newer != 0)
        cache->records[record->newer].older = record->older;
    else
        device->newest = record->older;
    device->stats.cached--;
    device->stats.cached_bytes -= record->node.bytes;
}

/* From busy to cached. */
void tensors_cached_add(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_record *record = &cache->records[number];
    struct tensor_row *row = &cache->rows[record->row];
    struct tensor_device *device = tensors_device(cache, number);

    record->state = TENSOR_CACHED;
    record->previous = 0;
    record->next = row->first;
    if (row->first != 0)
        cache->records[row->first].previous = number;
    row->first = number;
    row->cached++;
    row->live--;
    size_tree_insert(&device->tree, &record->node);
    if (record->reserved)
        device->tree_reserved_bytes += record->node.bytes;
    else
        order_add(cache, device, number);
}

/* From cached to busy. */
void tensors_cached_remove(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_record *record = &cache->records[number];
    struct tensor_row *row = &cache->rows[record->row];
    struct tensor_device *device = tensors_device(cache, number);

    if (record->previous != 0)
        cache->records[record->previous].next = record->next;
    else
        row->first = record->next;
    if (record->next != 0)
        cache->records[record->next].previous = record->previous;
    row->cached--;
    row->live++;
    size_tree_remove(&device->tree, &record->node);
    if (record->reserved)
        device->tree_reserved_bytes -= record->node.bytes;
    else
        order_remove(cache, device, number);
    record->state = TENSOR_BUSY;
}

/* Orders the stream behind the work on this record. False: the stream cannot use it now. */
static bool order_take(struct cupool_tensors *cache, struct tensor_device *device,
                       struct tensor_record *record, tensor_stream stream)
{
    const struct tensor_backend *backend = &device->backend;

    if (!record->has_fence)
        return true;
    if (!stream_same(record->last, stream) &&
        backend->fence_query(backend->state, record->fence) != 1) {
        if (stream == TENSOR_STREAM_NONE ||
            backend->stream_wait(backend->state, stream, record->fence) < 0)
            return false;
        device->stats.waits++;
    }
    backend->fence_release(backend->state, record->fence);
    record->has_fence = false;
    return true;
}

static uint32_t row_take(struct cupool_tensors *cache, struct tensor_device *device, uint32_t row,
                         tensor_stream stream)
{
    for (uint32_t at = row != 0 ? cache->rows[row].first : 0; at != 0; at = cache->records[at].next)
        if (order_take(cache, device, &cache->records[at], stream))
            return at;
    return 0;
}

/* Finds the smallest tensor of another key: reserved for every shape, or within the waste. */
static uint32_t fit_take(struct cupool_tensors *cache, struct tensor_device *device,
                         const struct cupool_tensor_shape *shape, uint64_t bytes,
                         tensor_stream stream, size_t waste)
{
    uint64_t wasted = waste == CUPOOL_TENSOR_EXACT                    ? 0
                      : __builtin_add_overflow(bytes, waste, &wasted) ? UINT64_MAX
                                                                      : bytes + waste;
    uint64_t most = device->bytes_reserved != 0 && 2 * bytes - 1 > wasted ? 2 * bytes - 1 : wasted;

    for (struct size_node *node = size_tree_best(&device->tree, bytes); node && node->bytes <= most;
         node = size_tree_at_least(&device->tree, node->bytes, node->address + 1)) {
        struct tensor_record *record = (struct tensor_record *)node;
        const struct tensor_row *row = &cache->rows[record->row];
        bool any = record->reserved && row->shape.type == CUPOOL_TENSOR_BYTES &&
                   row->shape.rank == 1 && node->bytes / 2 < bytes;
        if ((any || (node->bytes <= wasted && row->shape.flags == shape->flags)) &&
            (row->stream == stream || row->stream == TENSOR_STREAM_NONE) &&
            order_take(cache, device, record, stream))
            return (uint32_t)(record - cache->records);
    }
    return 0;
}

uint32_t tensors_find(struct cupool_tensors *cache, uint32_t row,
                      const struct cupool_tensor_shape *shape, uint64_t bytes, tensor_stream stream,
                      size_t waste, bool *ret_fit)
{
    struct tensor_device *device = &cache->devices[shape->device];
    uint32_t found = row_take(cache, device, row, stream);

    *ret_fit = false;
    if (found == 0 && stream != TENSOR_STREAM_NONE)
        found = row_take(cache, device, tensors_row(cache, shape, TENSOR_STREAM_NONE, bytes, false),
                         stream);
    if (found == 0 && (waste != CUPOOL_TENSOR_EXACT || device->bytes_reserved != 0)) {
        found = fit_take(cache, device, shape, bytes, stream, waste);
        *ret_fit = found != 0;
    }
    if (found != 0)
        tensors_cached_remove(cache, found);
    return found;
}

void tensors_fence_forget(const struct tensor_backend *backend, struct tensor_record *record)
{
    if (!record->has_fence)
        return;
    if (record->last == STREAM_PER_THREAD)
        backend->stream_wait(backend->state, record->last, record->fence);
    backend->fence_release(backend->state, record->fence);
    record->has_fence = false;
}

bool tensors_evict(struct cupool_tensors *cache, struct tensor_device *device,
                   struct tensor_evicted *evicted)
{
    uint32_t number = device->oldest;

    if (number == 0 || evicted->count == TENSOR_BATCH)
        return false;
    struct tensor_record *record = &cache->records[number];
    tensors_cached_remove(cache, number);
    tensors_fence_forget(&device->backend, record);
    evicted->freed[evicted->count++] = (struct tensor_freed){.address = record->node.address,
                                                             .bytes = record->node.bytes,
                                                             .stream = record->last,
                                                             .backend = &device->backend,
                                                             .plain = record->plain};
    cache->rows[record->row].evictions++;
    device->stats.evictions++;
    tensors_record_give(cache, number);
    return true;
}

void tensors_evicted_free(struct tensor_evicted *evicted)
{
    for (unsigned at = 0; at < evicted->count; at++) {
        const struct tensor_freed *freed = &evicted->freed[at];

        if (freed->plain)
            freed->backend->plain_free(freed->backend->state, freed->address, freed->bytes);
        else
            freed->backend->free(freed->backend->state, freed->address, freed->stream);
    }
    evicted->count = 0;
}

uint32_t tensors_record_new(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                            uint64_t bytes, tensor_stream stream, struct tensor_evicted *evicted)
{
    uint32_t row = tensors_row(cache, shape, stream, bytes, true);

    /* An eviction frees a record, and often makes a row idle. */
    for (uint32_t at = 0; at < cache->device_count;)
        if ((cache->unused_record != 0 && row != 0) ||
            !tensors_evict(cache, &cache->devices[at], evicted))
            at++;
        else if (row == 0)
            row = tensors_row(cache, shape, stream, bytes, true);
    uint32_t number = cache->unused_record;
    if (number == 0 || row == 0)
        return 0;
    struct tensor_record *record = &cache->records[number];
    cache->unused_record = record->next;
    record->state = TENSOR_BUSY;
    record->reserved = record->plain = record->has_fence = false;
    record->row = row;
    tensors_row_join(cache, row);
    return number;
}

void tensors_record_give(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_record *record = &cache->records[number];

    if (record->row != 0)
        tensors_row_leave(cache, record->row);
    record->row = 0;
    record->state = TENSOR_UNUSED;
    record->generation++;
    record->next = cache->unused_record;
    cache->unused_record = number;
}

void tensors_limits_hold(struct cupool_tensors *cache, struct tensor_device *device,
                         uint64_t most_bytes, uint64_t most_entries, uint64_t *ret_bytes)
{
    struct tensor_evicted evicted;
    uint64_t bytes = 0;

    do {
        evicted.count = 0;
        pthread_mutex_lock(&cache->lock);
        while ((device->stats.cached_bytes > most_bytes || device->stats.cached > most_entries) &&
               tensors_evict(cache, device, &evicted))
            bytes += evicted.freed[evicted.count - 1].bytes;
        pthread_mutex_unlock(&cache->lock);
        bool full = evicted.count == TENSOR_BATCH;
        tensors_evicted_free(&evicted);
        if (!full)
            break;
    } while (true);
    if (ret_bytes)
        *ret_bytes = bytes;
}
