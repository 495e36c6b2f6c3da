/* SPDX-License-Identifier: MIT */
/*
 * Keys: a table of chains over rows made at creation. A row without records is idle, and keeps its
 * statistics until a new key needs its place; the one idle for longest goes first.
 */
#include <errno.h>
#include <string.h>

#include "pool/tensor/tensor.h"

static const uint8_t type_bytes[CUPOOL_TENSOR_TYPES] = {
    [CUPOOL_TENSOR_BYTES] = 1, [CUPOOL_TENSOR_BOOL] = 1,    [CUPOOL_TENSOR_I8] = 1,
    [CUPOOL_TENSOR_U8] = 1,    [CUPOOL_TENSOR_F8_E4M3] = 1, [CUPOOL_TENSOR_F8_E5M2] = 1,
    [CUPOOL_TENSOR_I16] = 2,   [CUPOOL_TENSOR_F16] = 2,     [CUPOOL_TENSOR_BF16] = 2,
    [CUPOOL_TENSOR_I32] = 4,   [CUPOOL_TENSOR_F32] = 4,     [CUPOOL_TENSOR_I64] = 8,
    [CUPOOL_TENSOR_F64] = 8,   [CUPOOL_TENSOR_C64] = 8,     [CUPOOL_TENSOR_C128] = 16,
};

int cupool_tensor_bytes(const struct cupool_tensor_shape *shape, uint64_t *ret_bytes)
{
    uint64_t bytes;
    bool empty = false, overflow = false;

    if (!shape || !ret_bytes || shape->rank > CUPOOL_TENSOR_RANK_MAX ||
        (unsigned)shape->type >= CUPOOL_TENSOR_TYPES)
        return -EINVAL;
    bytes = type_bytes[shape->type];
    for (uint32_t at = 0; at < shape->rank; at++) {
        empty |= shape->dimensions[at] == 0;
        overflow |= __builtin_mul_overflow(bytes, shape->dimensions[at], &bytes);
    }
    if (!empty && (overflow || bytes > SIZE_MAX / 2))
        return -EOVERFLOW;
    *ret_bytes = empty ? 0 : bytes;
    return 0;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t hash_of(const struct cupool_tensor_shape *shape, tensor_stream stream)
{
    uint64_t hash = mix((uintptr_t)stream, (uint64_t)shape->rank << 32 | shape->type);

    hash = mix(hash, (uint64_t)shape->device << 32 | shape->flags);
    for (uint32_t at = 0; at < shape->rank; at++)
        hash = mix(hash, shape->dimensions[at]);
    return hash;
}

static bool same(const struct tensor_row *row, const struct cupool_tensor_shape *shape,
                 tensor_stream stream)
{
    return row->stream == stream && row->shape.rank == shape->rank &&
           row->shape.type == shape->type && row->shape.device == shape->device &&
           row->shape.flags == shape->flags &&
           memcmp(row->shape.dimensions, shape->dimensions,
                  shape->rank * sizeof(*shape->dimensions)) == 0;
}

static void idle_remove(struct cupool_tensors *cache, struct tensor_row *row)
{
    if (row->older != 0)
        cache->rows[row->older].newer = row->newer;
    else
        cache->idle_oldest = row->newer;
    if (row->newer != 0)
        cache->rows[row->newer].older = row->older;
    else
        cache->idle_newest = row->older;
    row->idle = false;
}

static void idle_add(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_row *row = &cache->rows[number];

    row->older = cache->idle_newest;
    row->newer = 0;
    if (cache->idle_newest != 0)
        cache->rows[cache->idle_newest].newer = number;
    else
        cache->idle_oldest = number;
    cache->idle_newest = number;
    row->idle = true;
}

/* Returns a row without a key: an unused one, or that of the key idle for longest. */
static uint32_t row_new(struct cupool_tensors *cache)
{
    uint32_t number = cache->unused_row;

    if (number != 0) {
        cache->unused_row = cache->rows[number].chain;
        return number;
    }
    number = cache->idle_oldest;
    if (number == 0)
        return 0;
    struct tensor_row *row = &cache->rows[number];
    idle_remove(cache, row);
    uint32_t *link = &cache->buckets[row->hash & cache->bucket_mask];
    while (*link != number)
        link = &cache->rows[*link].chain;
    *link = row->chain;
    return number;
}

uint32_t tensors_row(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                     tensor_stream stream, uint64_t bytes, bool make)
{
    uint64_t hash = hash_of(shape, stream);
    uint32_t number = cache->buckets[hash & cache->bucket_mask];

    while (number != 0 &&
           !(cache->rows[number].hash == hash && same(&cache->rows[number], shape, stream)))
        number = cache->rows[number].chain;
    if (number != 0 || !make)
        return number;
    number = row_new(cache);
    if (number == 0)
        return 0;
    struct tensor_row *row = &cache->rows[number];
    *row = (struct tensor_row){.shape = *shape,
                               .stream = stream,
                               .bytes = bytes,
                               .hash = hash,
                               .chain = cache->buckets[hash & cache->bucket_mask],
                               .used = true};
    for (uint32_t at = shape->rank; at < CUPOOL_TENSOR_RANK_MAX; at++)
        row->shape.dimensions[at] = 0;
    cache->buckets[hash & cache->bucket_mask] = number;
    idle_add(cache, number);
    return number;
}

void tensors_row_join(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_row *row = &cache->rows[number];

    if (row->idle)
        idle_remove(cache, row);
    row->live++;
}

void tensors_row_leave(struct cupool_tensors *cache, uint32_t number)
{
    struct tensor_row *row = &cache->rows[number];

    if (--row->live == 0 && row->cached == 0)
        idle_add(cache, number);
}
