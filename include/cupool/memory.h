/* SPDX-License-Identifier: MIT */
/*
 * Stream-ordered device memory: the memory manager of an engine.
 *
 * A block freed on a stream is available again to the same stream at once and without a fence; to
 * other streams, when the work that its stream had at the free has completed. A stream that is
 * captured keeps what it frees until the capture has ended, and no free breaks a capture. Under a
 * preloaded libcupool.so requests go straight to cuMemAlloc, which serves them from its pools.
 * Without it, the same allocator inside this library serves them: size classes for small blocks,
 * buddies for medium ones, runs of segments for large ones.
 *
 * Threading: every function from any thread. See device.h for errors, units and callbacks.
 */
#ifndef CUPOOL_MEMORY_H
#define CUPOOL_MEMORY_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

enum cupool_memory_event_kind {
    CUPOOL_MEMORY_ALLOCATE,
    CUPOOL_MEMORY_FREE,
    CUPOOL_MEMORY_TRIM,
    CUPOOL_MEMORY_FAILURE,
};

/** An entry of the history. */
struct cupool_memory_event {
    uint64_t time_ns; /* of a monotonic clock */
    enum cupool_memory_event_kind kind;
    uint64_t address, bytes;
    uint64_t current_bytes; /* live after the event */
};

struct cupool_memory_statistics {
    uint64_t current_bytes, peak_bytes;    /* live, as requested */
    uint64_t reserved_bytes;               /* held from the driver, live or not */
    uint64_t cached_bytes;                 /* of these, not live */
    uint64_t largest_free_bytes;           /* obtainable without the driver; 0 under the preload */
    uint64_t allocations, frees, failures; /* calls */
    uint64_t hits, misses;                 /* served without, and with, a driver call */
    uint64_t stream_hits;                  /* of the hits: from the same stream, without a fence */
    uint64_t trims, trimmed_bytes;
    double hit_rate;      /* hits / allocations */
    double utilization;   /* current / reserved */
    double fragmentation; /* 1 - largest_free / cached; 0 when nothing is cached */
    double pressure;      /* reserved by anyone / total of the device */
};

enum cupool_pressure { CUPOOL_PRESSURE_NONE, CUPOOL_PRESSURE_NORMAL, CUPOOL_PRESSURE_AGGRESSIVE };

/** Levels of use, as fractions from 0 to 1: a level begins at its threshold and ends
 * `hysteresis` below it. */
struct cupool_pressure_thresholds {
    double normal, aggressive, hysteresis; /* defaults: 0.7, 0.9, 0.05 */
};

/**
 * Allocates `bytes` (> 0), aligned to 512 bytes, for first use on `stream`. Errors: -EINVAL;
 * -ENOMEM the device has not that much, even after all cached memory was given back; -EBUSY, -EIO
 * as the driver said.
 */
CUPOOL_API int cupool_memory_allocate(struct cupool_device *device, size_t bytes,
                                      cupool_stream stream, void **ret_memory);

/**
 * Frees memory after the work that `stream` has so far. NULL is accepted. Errors: -EINVAL not the
 * address of a live block; -EALREADY freed before; -EBUSY the stream is captured, and too many
 * others have freed memory; nothing changed.
 */
CUPOOL_API int cupool_memory_free(struct cupool_device *device, void *memory, cupool_stream stream);

/** Bytes asked for at this address. -ENOENT: not a live block. */
CUPOOL_API int cupool_memory_size(struct cupool_device *device, const void *memory,
                                  size_t *ret_bytes);

/** Returns cached memory to the driver until at most `keep_bytes` remain cached. Not while a stream
 * is captured: as for an allocation that finds no memory, an event of the whole context is needed,
 * and it breaks the capture. */
CUPOOL_API int cupool_memory_trim(struct cupool_device *device, size_t keep_bytes,
                                  size_t *ret_returned_bytes);

/**
 * Defragments: waits for the device, empties the caches of the streams, merges free neighbours and
 * returns whole segments. Live blocks do not move. The result is the growth of the largest block
 * available without the driver, plus the bytes returned to it.
 */
CUPOOL_API int cupool_memory_defragment(struct cupool_device *device, size_t *ret_gained_bytes);

CUPOOL_API int cupool_memory_stats(struct cupool_device *device,
                                   struct cupool_memory_statistics *ret_stats);

/** Copies the newest events, oldest first; at most `room`. Returns how many were written. */
CUPOOL_API size_t cupool_memory_history(struct cupool_device *device,
                                        struct cupool_memory_event *events, size_t room);

/**
 * Sets a callback for when device use crosses a threshold, up or down, as seen at an allocation or
 * a free. NULL thresholds: the defaults; a NULL callback ends it.
 */
CUPOOL_API int cupool_memory_pressure(
    struct cupool_device *device, const struct cupool_pressure_thresholds *thresholds,
    void (*callback)(void *state, enum cupool_pressure level, double usage), void *state);

/** Returns 1 when a trim would help: pressure above 0.8, or fragmentation above 0.3 with memory
 * cached. */
CUPOOL_API int cupool_memory_should_trim(struct cupool_device *device);

/** Verifies the allocator. -EFAULT, with the first broken invariant in `why`. */
CUPOOL_API int cupool_memory_check(struct cupool_device *device, char *why, size_t why_bytes);

/**
 * The two functions for torch.cuda.memory.CUDAPluggableAllocator. The first call opens GPU
 * `device`, which stays open. NULL when there is no memory.
 */
CUPOOL_API void *cupool_torch_malloc(size_t bytes, int device, cupool_stream stream);
CUPOOL_API void cupool_torch_free(void *memory, size_t bytes, int device, cupool_stream stream);

#ifdef __cplusplus
}
#endif

#endif
