/* SPDX-License-Identifier: MIT */
/*
 * Batched transfers between a device and the host; the method depends on the size.
 *
 * A device has a queue for each direction. A submitted transfer begins at once while few are in
 * progress; otherwise they begin by priority. Adjacent fragments are merged. Then:
 *
 *     large fragments    each by one copy of the driver, many by one batched call if it has one
 *     many small ones    by one launch of a kernel that reads and writes page-locked memory
 *     pageable memory    through a ring of page-locked pieces, one filled while another is copied
 *
 * There is no thread: submit, query, wait, poll and order each advance their queue. When submit
 * returns, copies that bypass the ring (page-locked memory) are with the driver, as far as the
 * queue's depth permits.
 *
 * Memory named by a transfer must not change until the transfer has ended, and nothing else may use
 * its destinations. The order of the copies of one transfer is undefined.
 *
 * Nothing allocates host memory after creation. Threading: every function from any thread.
 * Callbacks run outside every lock, on the thread that found the transfer complete, and may submit.
 * A child after fork gets -ECHILD.
 */
#ifndef CUPOOL_TRANSFER_H
#define CUPOOL_TRANSFER_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cupool_transfers;

/** A submission; 0 is none. */
typedef uint64_t cupool_transfer;

enum cupool_direction {
    CUPOOL_TO_DEVICE,
    CUPOOL_FROM_DEVICE,
    CUPOOL_WITHIN_DEVICE,
    CUPOOL_DIRECTIONS,
};

#define CUPOOL_TRANSFER_PRIORITY_DEFAULT 50
#define CUPOOL_TRANSFER_PRIORITY_MAX     100
#define CUPOOL_WAIT_FOREVER              UINT64_MAX

struct cupool_copy {
    void *to;
    const void *from;
    size_t bytes; /* 0: nothing to copy */
};

/**
 * Thresholds between the methods. The defaults are published figures for an H100 (kernels below 28
 * KiB and from 16 fragments on); cupool_transfers_calibrate() measures this device.
 */
struct cupool_transfer_thresholds {
    uint64_t kernel_below; /* bytes: smaller fragments go by the kernel; default 28 KiB; 0: none */
    uint64_t kernel_from;  /* if there are so many of them; default 16 */
    uint64_t batch_from;   /* so many copies go by one batched call; default 4; 0: never */
};

struct cupool_transfers_config {
    uint32_t requests;    /* transfers of a direction that are remembered; default 256 */
    uint32_t fragments;   /* copies of a direction waiting or under way; default 65,536 */
    uint32_t depth;       /* transfers of a direction with the driver at a time; default 8 */
    uint32_t pieces;      /* of the ring of a direction; default 4 */
    uint32_t piece_bytes; /* default 1 MiB; at least 4 KiB */
    /** NULL: those of a valid calibration file, else the defaults. */
    const struct cupool_transfer_thresholds *thresholds;
    /** Folder of the calibration files; NULL: $XDG_CACHE_HOME/cupool or $HOME/.cache/cupool. */
    const char *folder;
};

struct cupool_transfer_options {
    int priority;               /* 0 to CUPOOL_TRANSFER_PRIORITY_MAX; the highest begins first */
    cupool_stream after_stream; /* begins after the work of this stream so far */
    void *after_event;          /* or after what this CUevent stands for now; NULL: none */
    size_t alignment;           /* every address and size must be a multiple; 0: any is right */
    /** Called once with 0, -ECANCELED or the error. */
    void (*callback)(void *state, cupool_transfer transfer, int result);
    void *state;
};

/** Figures of a direction. */
struct cupool_transfer_statistics {
    uint64_t submitted, completed, cancelled, failed; /* transfers */
    uint64_t refused;
    uint64_t fragments;     /* as submitted, without empty ones */
    uint64_t joined;        /* of these, those that became part of a neighbour */
    uint64_t bytes;         /* submitted */
    uint64_t driver_calls;  /* copies, batched calls and launches */
    uint64_t copies;        /* single copies by the driver */
    uint64_t batches;       /* batched calls */
    uint64_t launches;      /* of the kernel */
    uint64_t descriptors;   /* fragments of batched calls and launches */
    uint64_t copied_bytes;  /* by single copies */
    uint64_t batched_bytes; /* by batched calls */
    uint64_t kernel_bytes;  /* by the kernel */
    uint64_t staged_bytes;  /* of all these, through the ring */
    uint64_t pieces;        /* of the ring, filled */
    uint64_t stalls;        /* times that a transfer waited for the ring */
    uint64_t waiting;       /* now: not begun */
    uint64_t under_way;     /* now: begun */
};

CUPOOL_API void cupool_transfers_config_init(struct cupool_transfers_config *config);
CUPOOL_API void cupool_transfer_options_init(struct cupool_transfer_options *options);

/** Creates the queues of a device; NULL: the default configuration. Errors: -EINVAL; -ENOMEM;
 * -EIO; -EBUSY a capture prevents the allocation of page-locked memory. */
CUPOOL_API int cupool_transfers_create(struct cupool_device *device,
                                       const struct cupool_transfers_config *config,
                                       struct cupool_transfers **ret_transfers);

/** Cancels transfers that have not begun, waits for the rest and frees everything. */
CUPOOL_API void cupool_transfers_destroy(struct cupool_transfers *transfers);

/** Returns the message of the last error; "" if there was none. */
CUPOOL_API const char *cupool_transfers_error(const struct cupool_transfers *transfers);

/**
 * Submits `count` copies as one transfer; NULL options: the defaults. The array may be reused when
 * the function returns. Errors, with nothing submitted: -EINVAL a null address, a size beyond the
 * address space, wrong alignment, the wrong side of the device; -EOVERFLOW; -EFAULT beyond the end
 * of device memory; -ENOTUNIQ a destination overlaps another one or a source; -EXDEV memory of
 * another context; -EBUSY `after_stream` or `after_event` is captured; -E2BIG more copies than the
 * queue holds; -EAGAIN no room now.
 */
CUPOOL_API int cupool_transfers_submit(struct cupool_transfers *transfers,
                                       enum cupool_direction direction,
                                       const struct cupool_copy *copies, uint32_t count,
                                       const struct cupool_transfer_options *options,
                                       cupool_transfer *ret_transfer);

/**
 * Returns 1 after success, 0 while pending. Errors: that of the transfer; -ECANCELED; -ESTALE its
 * result was dropped to make room (results already read go first, then the oldest); -EINVAL it
 * never was a transfer.
 */
CUPOOL_API int cupool_transfer_query(struct cupool_transfers *transfers, cupool_transfer transfer);

/** Waits until it has ended. 0, -ETIMEDOUT, or as cupool_transfer_query(). */
CUPOOL_API int cupool_transfer_wait(struct cupool_transfers *transfers, cupool_transfer transfer,
                                    uint64_t timeout_ns);

/** Cancels a transfer that has not begun. -EBUSY: it has; -EALREADY: it has ended. */
CUPOOL_API int cupool_transfer_cancel(struct cupool_transfers *transfers, cupool_transfer transfer);

/**
 * Makes later work of a stream wait for a transfer; the caller does not wait. -EAGAIN: part of it
 * is not with the driver yet; or it copies from the device to pageable memory and has not ended.
 */
CUPOOL_API int cupool_transfer_order(struct cupool_transfers *transfers, cupool_transfer transfer,
                                     cupool_stream stream);

/** Advances every queue. Returns how many transfers have not ended. */
CUPOOL_API int cupool_transfers_poll(struct cupool_transfers *transfers);

CUPOOL_API int cupool_transfers_stats(struct cupool_transfers *transfers,
                                      enum cupool_direction direction,
                                      struct cupool_transfer_statistics *ret_stats);

CUPOOL_API int cupool_transfers_thresholds(struct cupool_transfers *transfers,
                                           struct cupool_transfer_thresholds *ret_thresholds);

/** Verifies every invariant. -EFAULT, with the first broken one in `why`. */
CUPOOL_API int cupool_transfers_check(struct cupool_transfers *transfers, char *why,
                                      size_t why_bytes);

/**
 * Measures the thresholds on this device (about a second) and uses them from now on. With `keep`
 * it also saves them in the device's file in the configured folder, readable by its owner only.
 * Errors: -EBUSY transfers are in progress; -ENOTSUP host memory; those of files.
 */
CUPOOL_API int cupool_transfers_calibrate(struct cupool_transfers *transfers, int keep,
                                          struct cupool_transfer_thresholds *ret_thresholds);

/**
 * Returns device-accessible memory with the content of `memory`: `memory` itself if it belongs to
 * the device, else a copy in new device memory (free it with cupool_memory_free()). The transfer
 * is 0 if nothing is copied; order a stream behind it before the memory is used.
 */
CUPOOL_API int cupool_transfers_ensure(struct cupool_transfers *transfers, const void *memory,
                                       size_t bytes, cupool_stream stream, void **ret_memory,
                                       cupool_transfer *ret_transfer);

struct cupool_tensor_source {
    const void *memory;
    size_t bytes;
};

/**
 * Copies many tensors into one device allocation by one transfer. Each begins at a multiple of
 * `alignment` (a power of two up to 512; 0: 256). `ret_addresses` has room for `count`. Errors as
 * cupool_transfers_submit() and cupool_memory_allocate(); then nothing is kept.
 */
CUPOOL_API int cupool_transfers_prefetch(struct cupool_transfers *transfers,
                                         const struct cupool_tensor_source *sources, uint32_t count,
                                         size_t alignment, cupool_stream stream, void **ret_memory,
                                         void **ret_addresses, cupool_transfer *ret_transfer);

/** Settings for preparing host memory. Zeroes are the defaults. */
struct cupool_host_options {
    size_t chunk_bytes; /* of one registration; default 1 GiB; a multiple of the page */
    uint32_t threads;   /* that touch first; default 8, at most one for each 16 MiB */
    int huge_pages;     /* 1: ask for huge pages */
};

/** Allocates page-locked memory: mapped, touched by several threads, registered in chunks. */
CUPOOL_API int cupool_host_allocate(struct cupool_device *device, size_t bytes,
                                    const struct cupool_host_options *options, void **ret_memory);
CUPOOL_API int cupool_host_free(struct cupool_device *device, void *memory);

/**
 * Page-locks memory of the caller in the same way; its content stays. Errors: -EINVAL address or
 * size is not a multiple of the page size; -EEXIST part of it is registered; -EFAULT it cannot be
 * written; -EBUSY a capture prevents it; -ENOMEM. On error nothing is registered.
 */
CUPOOL_API int cupool_host_register(struct cupool_device *device, void *memory, size_t bytes,
                                    const struct cupool_host_options *options);
CUPOOL_API int cupool_host_unregister(struct cupool_device *device, void *memory);

#ifdef __cplusplus
}
#endif

#endif
