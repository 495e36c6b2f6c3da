/* SPDX-License-Identifier: MIT */
/*
 * Addresses of a block's keys and values.
 *
 *     blocks first   [block][layer][key, value][…]
 *     layers first   [layer][block][key, value][…]
 *
 * with […] = [heads][tokens][dim] (HND) or [tokens][heads][dim] (NHD). Key and value may differ in
 * type. A layer of a block begins at a multiple of 256 bytes.
 */
#include <errno.h>
#include <string.h>

#include "pool/kv/kv.h"

#define ALIGNMENT 256u

static const uint8_t type_bytes[] = {
    [CUPOOL_KV_F16] = 2,     [CUPOOL_KV_BF16] = 2,    [CUPOOL_KV_F32] = 4,
    [CUPOOL_KV_F8_E4M3] = 1, [CUPOOL_KV_F8_E5M2] = 1, [CUPOOL_KV_I8] = 1,
};

static uint64_t side_bytes(const struct cupool_kv_config *config, enum cupool_kv_type type,
                           uint64_t *ret_token, uint64_t *ret_head)
{
    uint64_t row = (uint64_t)config->head_dim * type_bytes[type];

    *ret_token = config->order == CUPOOL_KV_HND ? row : row * config->kv_heads;
    *ret_head = config->order == CUPOOL_KV_HND ? row * config->block_tokens : row;
    return row * config->kv_heads * config->block_tokens;
}

int kv_geometry_make(const struct cupool_kv_config *config, uint32_t slots,
                     struct cupool_kv_geometry *ret_geometry)
{
    struct cupool_kv_geometry geometry = {0};
    const uint64_t most = UINT64_C(1) << 50;

    if (config->layers == 0) {
        *ret_geometry = geometry;
        return 0;
    }
    if (config->kv_heads == 0 || config->kv_heads > 65536 || config->head_dim == 0 ||
        config->head_dim > 65536 || config->layers > 65536 || config->key_type > CUPOOL_KV_I8 ||
        config->value_type > CUPOOL_KV_I8)
        return -EINVAL;
    geometry.key_bytes = side_bytes(config, config->key_type, &geometry.key_token_stride,
                                    &geometry.key_head_stride);
    geometry.value_bytes = side_bytes(config, config->value_type, &geometry.value_token_stride,
                                      &geometry.value_head_stride);
    geometry.layer_bytes = geometry.key_bytes + geometry.value_bytes;
    uint64_t padded = (geometry.layer_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (padded > most / config->layers || padded * config->layers > most / slots)
        return -EINVAL;
    geometry.block_bytes = padded * config->layers;
    if (config->layout == CUPOOL_KV_BLOCKS_FIRST) {
        geometry.layer_stride = padded;
        geometry.block_stride = padded * config->layers;
    } else {
        geometry.layer_stride = padded * slots;
        geometry.block_stride = padded;
    }
    *ret_geometry = geometry;
    return 0;
}

int kv_memory_each(struct cupool_kv *pool, uint32_t id,
                   int (*act)(struct cupool_kv *pool, uint64_t offset, uint64_t bytes, void *state),
                   void *state)
{
    const struct cupool_kv_geometry *g = &pool->geometry;
    int error = 0;

    if (pool->config.layers == 0)
        return 0;
    if (pool->config.layout == CUPOOL_KV_BLOCKS_FIRST)
        return act(pool, id * g->block_stride, g->block_bytes, state);
    for (uint32_t layer = 0; layer < pool->config.layers && error == 0; layer++)
        error = act(pool, layer * g->layer_stride + id * g->block_stride, g->block_stride, state);
    return error;
}

static int piece_clear(struct cupool_kv *pool, uint64_t offset, uint64_t bytes, void *state)
{
    return pool->backend.memory_fill(pool->backend.state, pool->memory_address + offset, bytes,
                                     *(cupool_stream *)state);
}

int kv_memory_clear(struct cupool_kv *pool, uint32_t id, cupool_stream stream)
{
    return kv_memory_each(pool, id, piece_clear, &stream);
}

struct block_copy {
    uint64_t distance; /* from target to source, modulo 2^64 */
    cupool_stream stream;
};

static int piece_copy(struct cupool_kv *pool, uint64_t offset, uint64_t bytes, void *state)
{
    const struct block_copy *copy = state;
    uint64_t to = pool->memory_address + offset;

    return pool->backend.memory_copy(pool->backend.state, to, to + copy->distance, bytes,
                                     copy->stream);
}

int kv_memory_copy(struct cupool_kv *pool, uint32_t to, uint32_t from, cupool_stream stream)
{
    struct block_copy copy = {
        .distance = ((uint64_t)from - (uint64_t)to) * pool->geometry.block_stride,
        .stream = stream,
    };

    return kv_memory_each(pool, to, piece_copy, &copy);
}

void cupool_kv_strides(const struct cupool_kv *pool, struct cupool_kv_geometry *ret_geometry)
{
    *ret_geometry = pool->geometry;
}

int cupool_kv_memory(struct cupool_kv *pool, cupool_kv_handle handle, uint32_t layer,
                     int key_or_value, void **ret_memory, size_t *ret_bytes)
{
    const struct cupool_kv_geometry *g = &pool->geometry;
    int error;

    if (layer >= pool->config.layers || key_or_value < CUPOOL_KV_KEY ||
        key_or_value > CUPOOL_KV_VALUE)
        return kv_fail(pool, -EINVAL, "no such layer, or neither keys nor values");
    if (!kv_find(pool, handle, &error))
        return kv_fail(pool, error, "the handle is stale or not of this pool");
    uint64_t address = pool->memory_address + layer * g->layer_stride +
                       (uint32_t)handle * g->block_stride +
                       (key_or_value == CUPOOL_KV_VALUE ? g->key_bytes : 0);
    memcpy(ret_memory, &address, sizeof(*ret_memory));
    if (ret_bytes)
        *ret_bytes = key_or_value == CUPOOL_KV_VALUE ? g->value_bytes : g->key_bytes;
    return 0;
}
