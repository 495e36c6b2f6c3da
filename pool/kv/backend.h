/* SPDX-License-Identifier: MIT */
/*
 * The device as the KV pool sees it. The engine implements it with the driver or with host memory,
 * unit tests with a fake that counts, keeps a fake clock and fails on demand.
 *
 * Operations return 0 or a negative errno and write outputs on success only. fence_query,
 * stream_check and stream_wait may be called under the pool's lock: they must neither block on
 * device work nor call back. Operations that are NULL: without fences everything counts as done
 * when it was submitted; without pages no pool is elastic.
 */
#ifndef POOL_KV_BACKEND_H
#define POOL_KV_BACKEND_H

#include <stddef.h>
#include <stdint.h>

typedef void *kv_stream;

#define KV_STREAM_NONE ((kv_stream) ~(uintptr_t)0)

struct kv_backend {
    void *state;

    int (*memory_allocate)(void *state, size_t bytes, uint64_t *ret_address);
    void (*memory_free)(void *state, uint64_t address, size_t bytes);
    /** Ordered on the stream; with KV_STREAM_NONE complete on return. */
    int (*memory_fill)(void *state, uint64_t address, size_t bytes, kv_stream stream);
    int (*memory_copy)(void *state, uint64_t to, uint64_t from, size_t bytes, kv_stream stream);
    /** Host memory the device copies from without staging. */
    int (*host_allocate)(void *state, size_t bytes, void **ret_memory);
    void (*host_free)(void *state, void *memory);

    /** 0, or -EBUSY: the stream is captured, and work for it would become part of a graph. */
    int (*stream_check)(void *state, kv_stream stream);
    /** Records a fence after all work submitted to `stream` so far. -EBUSY: the stream is
     * captured. */
    int (*fence_record)(void *state, kv_stream stream, uint64_t *ret_fence);
    /** 1 passed, 0 not yet. */
    int (*fence_query)(void *state, uint64_t fence);
    void (*fence_release)(void *state, uint64_t fence);
    /** Makes work submitted to `stream` from now on wait for the fence. -EBUSY: it is captured. */
    int (*stream_wait)(void *state, kv_stream stream, uint64_t fence);

    /** Elastic memory: a range of addresses, and pages that are mapped into it. */
    int (*range_reserve)(void *state, size_t bytes, size_t *page_bytes, uint64_t *ret_address);
    void (*range_release)(void *state, uint64_t address, size_t bytes);
    int (*page_map)(void *state, uint64_t address, size_t bytes, uint64_t *ret_page);
    void (*page_unmap)(void *state, uint64_t address, size_t bytes, uint64_t page);

    uint64_t (*clock_ns)(void *state);
    int outlives_fork; /* 1: the memory is still there in a child after fork */
};

#endif
