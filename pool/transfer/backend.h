/* SPDX-License-Identifier: MIT */
/*
 * A device as the queues see it. The engine implements it with the driver or with host memory, unit
 * tests with a fake whose work is done when the test says so.
 *
 * Operations return 0 or a negative errno and write outputs on success only. They must not call
 * back. Those of a queue's stream are called without a lock by one thread at a time; place(), and
 * fence_record() of the caller's streams, by any thread. fence_query(), fence_release() and
 * stream_wait() may be called under a queue's lock, and must not block on device work.
 * Host memory has no fences: work is done when it was submitted.
 */
#ifndef POOL_TRANSFER_BACKEND_H
#define POOL_TRANSFER_BACKEND_H

#include <stddef.h>
#include <stdint.h>

typedef void *transfer_stream;

#define TRANSFER_STREAM_NONE ((transfer_stream) ~(uintptr_t)0)

enum transfer_place {
    TRANSFER_DEVICE,   /* the device's own memory */
    TRANSFER_PINNED,   /* host memory that the device reaches */
    TRANSFER_PAGEABLE, /* host memory that it does not */
    TRANSFER_FOREIGN,  /* memory of another device or context */
};

struct transfer_backend {
    void *state;
    int host; /* 1: all memory is the host's, every place is TRANSFER_DEVICE */

    /** Finds where an address lies, and the end of its contiguous memory (UINT64_MAX: unknown). */
    int (*place)(void *state, uint64_t address, enum transfer_place *ret_place, uint64_t *ret_end);

    int (*stream_make)(void *state, transfer_stream *ret_stream);
    void (*stream_end)(void *state, transfer_stream stream);
    /** Waits for the work of a stream. */
    int (*stream_drain)(void *state, transfer_stream stream);

    int (*copy)(void *state, transfer_stream stream, uint64_t to, uint64_t from, size_t bytes);
    /** Makes many copies by one call; NULL: the driver has none. */
    int (*copy_batch)(void *state, transfer_stream stream, uint64_t *to, uint64_t *from,
                      size_t *bytes, size_t count);
    /** Makes many copies by one launch; `descriptors` is page-locked memory that stays until it
     * is done. NULL: there is no kernel. -ENOTSUP: there turned out to be none. */
    int (*copy_kernel)(void *state, transfer_stream stream, void *descriptors, const uint64_t *to,
                       const uint64_t *from, const size_t *bytes, size_t count);
    size_t descriptor_bytes; /* of one fragment of copy_kernel */

    int (*host_allocate)(void *state, size_t bytes, void **ret_memory);
    void (*host_free)(void *state, void *memory);

    /** Records a fence after all work submitted to `stream` so far. -EBUSY: the stream is
     * captured. */
    int (*fence_record)(void *state, transfer_stream stream, uint64_t *ret_fence);
    /** 1 passed, 0 not yet; an error of the device's. */
    int (*fence_query)(void *state, uint64_t fence);
    void (*fence_release)(void *state, uint64_t fence);
    /** Makes work submitted to `stream` from now on wait for the fence. */
    int (*stream_wait)(void *state, transfer_stream stream, uint64_t fence);

    /** Calibration. */
    int (*memory_allocate)(void *state, size_t bytes, uint64_t *ret_address);
    void (*memory_free)(void *state, uint64_t address, size_t bytes);
    uint64_t (*clock_ns)(void *state);
    /** Pauses a waiting caller for about this long. */
    void (*pause)(void *state, uint64_t ns);
};

#endif
