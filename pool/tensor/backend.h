/* SPDX-License-Identifier: MIT */
/*
 * A device as the tensor cache sees it. The engine implements it with the driver or with host
 * memory, unit tests with a fake that counts and fails on demand.
 *
 * Operations return 0 or a negative errno and write outputs on success only. fence_query,
 * fence_release and stream_wait are called under the cache's lock: they must neither block on
 * device work nor call back. Without fence_record (host memory) work is done when it was submitted.
 */
#ifndef POOL_TENSOR_BACKEND_H
#define POOL_TENSOR_BACKEND_H

#include <stddef.h>
#include <stdint.h>

typedef void *tensor_stream;

#define TENSOR_STREAM_NONE ((tensor_stream) ~(uintptr_t)0)

struct tensor_backend {
    void *state;

    /** Allocates memory for first use on `stream`; frees it after the stream's work so far. */
    int (*allocate)(void *state, size_t bytes, tensor_stream stream, uint64_t *ret_address);
    void (*free)(void *state, uint64_t address, tensor_stream stream);
    /** Returns the memory that the source of allocate() has cached. */
    void (*relieve)(void *state);
    /** Memory without any cache before the device. */
    int (*plain_allocate)(void *state, size_t bytes, uint64_t *ret_address);
    void (*plain_free)(void *state, uint64_t address, size_t bytes);

    /** Records a fence after all work submitted to `stream` so far. -EBUSY: the stream is
     * captured. */
    int (*fence_record)(void *state, tensor_stream stream, uint64_t *ret_fence);
    /** 1 passed, 0 not yet. */
    int (*fence_query)(void *state, uint64_t fence);
    void (*fence_release)(void *state, uint64_t fence);
    /** Makes work submitted to `stream` from now on wait for the fence. */
    int (*stream_wait)(void *state, tensor_stream stream, uint64_t fence);
};

#endif
