/* SPDX-License-Identifier: MIT */
/*
 * Copies GPU blocks through the bench's pinned memory, a batch at a time with one wait. Blocks in
 * host memory are read and written in place.
 */
#include <errno.h>

#include "engine/tier/tiers.h"

static uint64_t block_address(const struct cupool_tiers *tiers, cupool_kv_handle handle)
{
    return tiers->pool->memory_address + cupool_kv_id(handle) * tiers->pool->geometry.block_stride;
}

/* Distance of layers in the bench, in bytes. */
static size_t bench_stride(const struct cupool_tiers *tiers)
{
    return tiers->pool->geometry.block_bytes / tiers->shape.layers;
}

uint8_t *stage_layers(const struct cupool_tiers *tiers, const struct bench *bench, uint32_t slot,
                      cupool_kv_handle handle, size_t *ret_stride)
{
    if (bench->blocks) {
        *ret_stride = bench_stride(tiers);
        return bench->blocks + slot * tiers->staged;
    }
    *ret_stride = tiers->pool->geometry.layer_stride;
    return (uint8_t *)(uintptr_t)block_address(tiers, handle);
}

static int block_copy(struct cupool_tiers *tiers, uint8_t *staged, cupool_kv_handle handle,
                      bool to_device, cupool_stream stream)
{
    const struct cupool_kv_geometry *geometry = &tiers->pool->geometry;
    bool whole = tiers->pool->config.layout == CUPOOL_KV_BLOCKS_FIRST;
    size_t stride = bench_stride(tiers);
    int error = 0;

    for (uint32_t layer = 0; layer < (whole ? 1 : tiers->shape.layers) && error == 0; layer++) {
        void *block = (void *)(uintptr_t)(block_address(tiers, handle) +
                                          layer * geometry->layer_stride);
        void *host = staged + layer * stride;

        error = cupool_device_copy(tiers->device, to_device ? block : host,
                                   to_device ? host : block, whole ? geometry->block_bytes : stride,
                                   stream);
    }
    return error;
}

int stage_copy(struct cupool_tiers *tiers, const struct bench *bench, struct job *const *jobs,
               uint32_t count, bool to_device)
{
    uint64_t crossed = 0;
    int error = 0, waited;

    if (!bench->blocks)
        return 0;
    for (uint32_t at = 0; at < count && error == 0; at++) {
        if (jobs[at]->result < 0 || jobs[at]->skip || jobs[at]->on_device)
            continue;
        if (!to_device)
            error = cupool_kv_stream_order(tiers->pool, &jobs[at]->handle, 1, bench->stream);
        if (error == 0)
            error = block_copy(tiers, bench->blocks + at * tiers->staged, jobs[at]->handle,
                               to_device, bench->stream);
        crossed += error == 0 ? tiers->pool->geometry.block_bytes : 0;
    }
    /* Waits even after an error: nothing may read or write the bench afterwards. */
    waited = cupool_device_wait(tiers->device, bench->stream);
    pthread_mutex_lock(&tiers->lock);
    *(to_device ? &tiers->counts.to_device_bytes : &tiers->counts.from_device_bytes) += crossed;
    pthread_mutex_unlock(&tiers->lock);
    return error < 0 ? error : waited;
}

int stage_order(struct cupool_tiers *tiers, const struct bench *bench, uint64_t fence)
{
    return tiers->backend.stream_wait(tiers->backend.state, bench->stream, fence);
}

int stage_fence(struct cupool_tiers *tiers, cupool_stream stream, uint64_t *ret_fence,
                bool *ret_fenced)
{
    *ret_fenced = false;
    if (stream == CUPOOL_STREAM_NONE || !tiers->backend.fence_record)
        return 0;
    int error = tiers->backend.fence_record(tiers->backend.state, stream, ret_fence);
    *ret_fenced = error == 0;
    return error;
}

void stage_fence_end(struct cupool_tiers *tiers, uint64_t fence)
{
    tiers->backend.fence_release(tiers->backend.state, fence);
}
