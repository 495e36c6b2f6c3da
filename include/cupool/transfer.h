/* SPDX-License-Identifier: MIT */
/*
 * Transfers: many copies at once between a device and the host, the way chosen by size.
 *
 * A device has a queue for each direction. What is submitted begins at once while few transfers are
 * under way, else by priority. Neighbours are joined. Then:
 *
 *     large fragments    each by one copy of the driver, many by one batched call if it has one
 *     many small ones    by one launch of a kernel that reads and writes page-locked memory
 *     pageable memory    through a ring of page-locked pieces, one filled while another is copied
 *
 * There is no thread: a call of submit, query, wait, poll or order carries on whatever can go on in
 * its queue. What needs none of the ring (page-locked memory) is with the driver when submit
 * returns, as far as the queue's depth admits it.
 *
 * Memory named by a transfer must stay as it is until the transfer has ended: sources unchanged,
 * destinations alone its own. The order of the copies of one transfer is not defined.
 *
 * Nothing allocates host memory after creation. Threading: every function from any thread;
 * callbacks run outside every lock, on the thread whose call found the end, and may submit.
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
 * Where the ways part. The defaults are what others measured on an H100 (kernels below 28 KiB and
 * from 16 fragments on); cupool_transfers_calibrate() measures.
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
    /** NULL: those of the calibration file, if there is a good one, else the defaults. */
    const struct cupool_transfer_thresholds *thresholds;
    /** Folder of the calibration files; NULL: $XDG_CACHE_HOME/cupool or $HOME/.cache/cupool. */
    const char *folder;
};

struct cupool_transfer_options {
    int priority;               /* 0 to CUPOOL_TRANSFER_PRIORITY_MAX; the highest begins first */
    cupool_stream after_stream; /* begins after the work of this stream so far */
    void *after_event;          /* or after this CUevent; NULL: none */
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

/** Makes the queues of a device; NULL: the default configuration. Errors: -EINVAL; -ENOMEM; -EIO;
 * -EBUSY something captures, and page-locked memory cannot be had. */
CUPOOL_API int cupool_transfers_create(struct cupool_device *device,
                                       const struct cupool_transfers_config *config,
                                       struct cupool_transfers **ret_transfers);

/** Cancels what has not begun, waits for the rest and gives everything back. */
CUPOOL_API void cupool_transfers_destroy(struct cupool_transfers *transfers);

/** Text of the last error; "" if there was none. */
CUPOOL_API const char *cupool_transfers_error(const struct cupool_transfers *transfers);

/**
 * Submits `count` copies as one transfer; NULL options: the defaults. The array is the caller's
 * again when the function returns.
 * Errors, and nothing was submitted: -EINVAL a null address, a size beyond the address space, wrong
 * alignment, the wrong side of the device; -EOVERFLOW; -EFAULT beyond the end of device memory;
 * -ENOTUNIQ a destination overlaps another one or a source; -EXDEV memory of another context;
 * -EBUSY `after_stream` is captured; -E2BIG more copies than the queue holds; -EAGAIN no room now.
 */
CUPOOL_API int cupool_transfers_submit(struct cupool_transfers *transfers,
                                       enum cupool_direction direction,
                                       const struct cupool_copy *copies, uint32_t count,
                                       const struct cupool_transfer_options *options,
                                       cupool_transfer *ret_transfer);

/**
 * 1: it has ended well; 0: not yet. Errors: what it ended with; -ECANCELED; -ESTALE it ended and
 * others needed its place: results that were read are forgotten first, then the oldest; -EINVAL it
 * never was a transfer.
 */
CUPOOL_API int cupool_transfer_query(struct cupool_transfers *transfers, cupool_transfer transfer);

/** Waits until it has ended. 0, -ETIMEDOUT, or as cupool_transfer_query(). */
CUPOOL_API int cupool_transfer_wait(struct cupool_transfers *transfers, cupool_transfer transfer,
                                    uint64_t timeout_ns);

/** Ends a transfer that has not begun. -EBUSY: it has; -EALREADY: it has ended. */
CUPOOL_API int cupool_transfer_cancel(struct cupool_transfers *transfers, cupool_transfer transfer);

/**
 * Makes later work of a stream wait for a transfer, without waiting here. -EAGAIN: not all of it is
 * with the driver yet; or it comes from the device to pageable memory and has not ended.
 */
CUPOOL_API int cupool_transfer_order(struct cupool_transfers *transfers, cupool_transfer transfer,
                                     cupool_stream stream);

/** Carries on what can go on in every queue. Returns how many transfers have not ended. */
CUPOOL_API int cupool_transfers_poll(struct cupool_transfers *transfers);

CUPOOL_API int cupool_transfers_stats(struct cupool_transfers *transfers,
                                      enum cupool_direction direction,
                                      struct cupool_transfer_statistics *ret_stats);

CUPOOL_API int cupool_transfers_thresholds(struct cupool_transfers *transfers,
                                           struct cupool_transfer_thresholds *ret_thresholds);

/** Verifies every invariant. -EFAULT names the first broken one in `why`. */
CUPOOL_API int cupool_transfers_check(struct cupool_transfers *transfers, char *why,
                                      size_t why_bytes);

/**
 * Measures where the ways part on this device (about a second), uses it from now on, and with
 * `keep` writes it to the device's file in the folder of the configuration, for its owner only.
 * Errors: -EBUSY transfers are under way; -ENOTSUP host memory; those of files.
 */
CUPOOL_API int cupool_transfers_calibrate(struct cupool_transfers *transfers, int keep,
                                          struct cupool_transfer_thresholds *ret_thresholds);

/**
 * Memory that a device reaches, with the content of `memory`: `memory` itself if it is the device's
 * own, else a copy in new memory of the device (cupool_memory_free() takes it back).
 * The transfer is 0 if nothing is copied; order a stream behind it before the memory is used.
 */
CUPOOL_API int cupool_transfers_ensure(struct cupool_transfers *transfers, const void *memory,
                                       size_t bytes, cupool_stream stream, void **ret_memory,
                                       cupool_transfer *ret_transfer);

struct cupool_tensor_source {
    const void *memory;
    size_t bytes;
};

/**
 * Copies many tensors into one allocation of the device, each at a multiple of `alignment` (a power
 * of two up to 512; 0: 256), by one transfer. `ret_addresses` has room for `count`.
 * Errors as cupool_transfers_submit() and cupool_memory_allocate(); nothing is kept then.
 */
CUPOOL_API int cupool_transfers_prefetch(struct cupool_transfers *transfers,
                                         const struct cupool_tensor_source *sources, uint32_t count,
                                         size_t alignment, cupool_stream stream, void **ret_memory,
                                         void **ret_addresses, cupool_transfer *ret_transfer);

/** How host memory is prepared. Zeroes are the defaults. */
struct cupool_host_options {
    size_t chunk_bytes; /* of one registration; default 1 GiB; a multiple of the page */
    uint32_t threads;   /* that touch first; default 8, at most one for each 16 MiB */
    int huge_pages;     /* 1: ask for huge pages */
};

/** Page-locked memory of the system: mapped, touched by several threads, registered in chunks. */
CUPOOL_API int cupool_host_allocate(struct cupool_device *device, size_t bytes,
                                    const struct cupool_host_options *options, void **ret_memory);
CUPOOL_API int cupool_host_free(struct cupool_device *device, void *memory);

/**
 * Page-locks memory of the caller, likewise; its content stays. Errors: -EINVAL address or size are
 * no multiple of the page; -EEXIST part of it is registered; -EFAULT it cannot be written; -EBUSY
 * something captures; -ENOMEM. Nothing is registered then.
 */
CUPOOL_API int cupool_host_register(struct cupool_device *device, void *memory, size_t bytes,
                                    const struct cupool_host_options *options);
CUPOOL_API int cupool_host_unregister(struct cupool_device *device, void *memory);

#ifdef __cplusplus
}
#endif

#endif
