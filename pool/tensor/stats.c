/* SPDX-License-Identifier: MIT */
/*
 * Figures, and the walk over everything.
 */
#include <errno.h>

#include "pool/base/why.h"
#include "pool/tensor/tensor.h"

int cupool_tensors_stats(struct cupool_tensors *cache, uint32_t device,
                         struct cupool_tensors_statistics *ret_stats)
{
    int error = !cache || !ret_stats || device >= cache->device_count ? -EINVAL
                                                                      : tensors_lock(cache);

    if (error < 0)
        return error;
    *ret_stats = cache->devices[device].stats;
    pthread_mutex_unlock(&cache->lock);
    ret_stats->hit_rate = ret_stats->acquires == 0
                              ? 0
                              : (double)ret_stats->hits / (double)ret_stats->acquires;
    return 0;
}

/* Inserts by number of acquires into rows sorted so far. */
static uint32_t row_insert(struct cupool_tensors_row *rows, uint32_t count, uint32_t room,
                           const struct cupool_tensors_row *row)
{
    uint32_t at = count;

    while (at > 0 && rows[at - 1].hits + rows[at - 1].misses < row->hits + row->misses)
        at--;
    if (at == room)
        return count;
    count += count < room;
    for (uint32_t to = count - 1; to > at; to--)
        rows[to] = rows[to - 1];
    rows[at] = *row;
    return count;
}

int cupool_tensors_rows(struct cupool_tensors *cache, struct cupool_tensors_row *rows,
                        uint32_t room)
{
    uint32_t count = 0;
    int error = !cache || (!rows && room != 0) ? -EINVAL : tensors_lock(cache);

    if (error < 0)
        return error;
    for (uint32_t at = 1; at <= cache->row_count && room != 0; at++) {
        const struct tensor_row *row = &cache->rows[at];

        if (!row->used)
            continue;
        struct cupool_tensors_row figures = {
            .shape = row->shape,
            .stream = row->stream,
            .bytes = row->bytes,
            .hits = row->hits,
            .misses = row->misses,
            .evictions = row->evictions,
            .live = row->live,
            .cached = row->cached,
            .reserved = row->reserved,
        };
        count = row_insert(rows, count, room, &figures);
    }
    pthread_mutex_unlock(&cache->lock);
    return (int)count;
}

struct walk {
    struct cupool_tensors *cache;
    struct why why;
};

/** What the records of a device add up to. */
struct sums {
    uint64_t live, live_bytes, cached, cached_bytes, reserved, reserved_bytes, waiting_bytes;
    uint64_t indexed;
};

static void record_add(struct walk *walk, uint32_t number, struct sums *sums)
{
    const struct tensor_record *record = &walk->cache->records[number];
    bool live = record->state == TENSOR_LIVE;

    holds(&walk->why, record->row != 0 && record->row <= walk->cache->row_count,
          "tensor %u belongs to no shape", number);
    holds(&walk->why, !(live && record->has_fence), "tensor %u is live and has a fence", number);
    sums->live += live;
    sums->live_bytes += live ? record->node.bytes : 0;
    sums->cached += !live && !record->reserved;
    sums->cached_bytes += !live && !record->reserved ? record->node.bytes : 0;
    sums->waiting_bytes += !live && record->reserved ? record->node.bytes : 0;
    sums->reserved += record->reserved;
    sums->reserved_bytes += record->reserved ? record->node.bytes : 0;
    sums->indexed += !live;
}

static void device_check(struct walk *walk, uint32_t number, bool quiet)
{
    struct cupool_tensors *cache = walk->cache;
    struct tensor_device *device = &cache->devices[number];
    const struct cupool_tensors_statistics *stats = &device->stats;
    struct sums sums = {0};
    uint64_t count = 0, bytes = 0, listed = 0;

    for (uint32_t at = 1; at <= cache->record_count && !walk->why.broken; at++)
        if ((cache->records[at].state == TENSOR_LIVE ||
             cache->records[at].state == TENSOR_CACHED) &&
            cache->rows[cache->records[at].row].shape.device == number)
            record_add(walk, at, &sums);
    const char *tree = size_tree_check(&device->tree, &count, &bytes);
    holds(&walk->why, !tree, "device %u: %s", number, tree);
    holds(&walk->why, count == sums.indexed && bytes == sums.cached_bytes + sums.waiting_bytes,
          "device %u: %llu tensors in the index, %llu cached", number, (unsigned long long)count,
          (unsigned long long)sums.indexed);
    for (uint32_t at = device->oldest; at != 0 && listed <= cache->record_count;
         at = cache->records[at].newer, listed++)
        holds(&walk->why, cache->records[at].state == TENSOR_CACHED && !cache->records[at].reserved,
              "tensor %u can be evicted, but is not cached", at);
    holds(&walk->why, listed == sums.cached, "device %u: %llu tensors in order, %llu cached",
          number, (unsigned long long)listed, (unsigned long long)sums.cached);
    holds(&walk->why, stats->cached == sums.cached && stats->cached_bytes == sums.cached_bytes,
          "device %u: wrong number of cached bytes", number);
    holds(&walk->why, device->tree_reserved_bytes == sums.waiting_bytes,
          "device %u: wrong number of reserved bytes", number);
    holds(&walk->why,
          !quiet ||
              (stats->live == sums.live && stats->live_bytes == sums.live_bytes &&
               stats->reserved == sums.reserved && stats->reserved_bytes == sums.reserved_bytes),
          "device %u: wrong number of live or reserved bytes", number);
    holds(&walk->why, stats->hits + stats->misses == stats->acquires,
          "device %u: hits and misses differ from the acquires", number);
}

static void rows_check(struct walk *walk)
{
    struct cupool_tensors *cache = walk->cache;

    for (uint32_t at = 1; at <= cache->row_count && !walk->why.broken; at++) {
        const struct tensor_row *row = &cache->rows[at];
        uint32_t listed = 0;

        if (!row->used)
            continue;
        for (uint32_t record = row->first; record != 0 && listed <= cache->record_count;
             record = cache->records[record].next, listed++)
            holds(&walk->why,
                  cache->records[record].row == at && cache->records[record].state == TENSOR_CACHED,
                  "shape %u lists a tensor of another shape", at);
        holds(&walk->why, listed == row->cached, "shape %u: %u tensors listed, %u cached", at,
              listed, row->cached);
        holds(&walk->why, row->idle == (row->live == 0 && row->cached == 0),
              "shape %u: wrong idle mark", at);
        holds(&walk->why, tensors_row(cache, &row->shape, row->stream, row->bytes, false) == at,
              "shape %u is not in the table", at);
    }
}

int cupool_tensors_check(struct cupool_tensors *cache, char *why, size_t why_bytes)
{
    struct walk walk = {.cache = cache, .why = {.text = why, .bytes = why_bytes}};
    uint32_t unused = 0, busy = 0, listed = 0;
    int error = !cache ? -EINVAL : tensors_lock(cache);

    if (error < 0)
        return error;
    for (uint32_t at = 1; at <= cache->record_count; at++) {
        unused += cache->records[at].state == TENSOR_UNUSED;
        busy += cache->records[at].state == TENSOR_BUSY;
    }
    for (uint32_t at = cache->unused_record; at != 0 && listed <= cache->record_count;
         at = cache->records[at].next)
        listed++;
    holds(&walk.why, unused == listed, "%u records unused, %u listed", unused, listed);
    for (uint32_t at = 0; at < cache->device_count && !walk.why.broken; at++)
        device_check(&walk, at, busy == 0);
    rows_check(&walk);
    pthread_mutex_unlock(&cache->lock);
    return walk.why.broken ? tensors_fail(cache, -EFAULT, "an invariant is broken") : 0;
}
