/* SPDX-License-Identifier: MIT */
/*
 * A tensor cache: reuses memory for shapes that recur.
 *
 * A key is rank, dimensions in order, type, flags, device and stream; (2, 3) and (3, 2) are two
 * shapes. A released tensor stays cached under its key until it is evicted: by a limit, a trim or a
 * device without memory, the one released longest ago first. Reserved tensors are allocated in
 * advance and never evicted.
 *
 * Memory comes from cupool_memory_allocate(). When the device is full, the cache returns its memory
 * and tries again; then it asks the driver for the tensor alone; then the result is -ENOMEM.
 *
 * Nothing allocates host memory after creation, nothing waits for the device.
 *
 * Threading: every function from any thread. A child after fork gets -ECHILD.
 */
#ifndef CUPOOL_TENSOR_H
#define CUPOOL_TENSOR_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cupool_tensors;

/** A tensor in use; 0 is none. generation:32 | record:32. */
typedef uint64_t cupool_tensor;

#define CUPOOL_TENSOR_RANK_MAX    8
#define CUPOOL_TENSOR_DEVICES_MAX 64

enum cupool_tensor_type {
    CUPOOL_TENSOR_BYTES, /* elements of one byte; reserved, it serves every shape: see reserve */
    CUPOOL_TENSOR_BOOL,
    CUPOOL_TENSOR_I8,
    CUPOOL_TENSOR_U8,
    CUPOOL_TENSOR_F8_E4M3,
    CUPOOL_TENSOR_F8_E5M2,
    CUPOOL_TENSOR_I16,
    CUPOOL_TENSOR_F16,
    CUPOOL_TENSOR_BF16,
    CUPOOL_TENSOR_I32,
    CUPOOL_TENSOR_F32,
    CUPOOL_TENSOR_I64,
    CUPOOL_TENSOR_F64,
    CUPOOL_TENSOR_C64,
    CUPOOL_TENSOR_C128,
    CUPOOL_TENSOR_TYPES,
};

struct cupool_tensor_shape {
    uint32_t rank; /* 0: a scalar */
    enum cupool_tensor_type type;
    uint32_t device; /* index among the devices of the cache */
    uint32_t flags;  /* the caller's: layout, for example */
    uint64_t dimensions[CUPOOL_TENSOR_RANK_MAX];
};

/** Size limit for a tensor of another shape, as bytes beyond the request. */
#define CUPOOL_TENSOR_EXACT ((size_t)-1) /* no tensor of another shape */

struct cupool_tensors_config {
    struct cupool_device *const *devices; /* GPUs and host memory; they outlive the cache */
    uint32_t device_count;
    uint32_t tensors;       /* in use and cached together; default 4096 */
    uint32_t shapes;        /* keys that are remembered; default 1024 */
    uint64_t limit_bytes;   /* cached on each device, reserved ones apart; 0: no limit */
    uint32_t limit_entries; /* likewise */
};

/** Figures of one device. */
struct cupool_tensors_statistics {
    uint64_t acquires, releases;
    uint64_t hits, misses;     /* of the acquires: served from the cache, or not */
    uint64_t fits;             /* of the hits: a tensor of another shape */
    uint64_t waits;            /* of the hits: the stream waits for the work of another one */
    uint64_t evictions, trims; /* trims: by hand, or because the device had no memory */
    uint64_t retries;          /* allocations repeated after a trim */
    uint64_t plain;            /* allocations by the driver alone */
    uint64_t failures;
    uint64_t stale;            /* handles that were refused */
    uint64_t live, live_bytes; /* in use, reserved ones too */
    uint64_t cached, cached_bytes;
    uint64_t reserved, reserved_bytes; /* in use or not */
    uint64_t peak_bytes;               /* in use, cached and reserved together */
    uint64_t peak_cached_bytes;
    uint64_t limit_bytes, limit_entries;
    double hit_rate;
};

/** Figures of one key. */
struct cupool_tensors_row {
    struct cupool_tensor_shape shape;
    cupool_stream stream;
    uint64_t bytes; /* of one tensor */
    uint64_t hits, misses, evictions;
    uint32_t live, cached, reserved;
};

struct cupool_tensor_info {
    struct cupool_tensor_shape shape; /* of the key it belongs to */
    void *memory;                     /* NULL: a tensor without elements */
    uint64_t bytes;                   /* of the memory */
    int reserved;
};

CUPOOL_API void cupool_tensors_config_init(struct cupool_tensors_config *config);

/** Errors: -EINVAL; -ENOMEM. */
CUPOOL_API int cupool_tensors_create(const struct cupool_tensors_config *config,
                                     struct cupool_tensors **ret_cache);

/** Frees all memory after the work of the streams, including tensors still in use. */
CUPOOL_API void cupool_tensors_destroy(struct cupool_tensors *cache);

/** Text of the last error; "" if there was none. */
CUPOOL_API const char *cupool_tensors_error(const struct cupool_tensors *cache);

/** Returns the bytes of a shape; 0 with a dimension of 0. Errors: -EINVAL rank or type;
 * -EOVERFLOW. */
CUPOOL_API int cupool_tensor_bytes(const struct cupool_tensor_shape *shape, uint64_t *ret_bytes);

/**
 * Acquires a tensor for use on `stream`: one of the same key, else a reserved one of its size,
 * else, unless `waste` is CUPOOL_TENSOR_EXACT, the smallest cached one of the same device, flags
 * and stream with at most `waste` more bytes, else new memory. Its content is undefined.
 * CUPOOL_STREAM_NONE orders no work: tensors with unfinished work are passed over. Errors:
 * -EINVAL; -EOVERFLOW; -ENOMEM the device has not that much; -ENOBUFS all tensors of the cache are
 * in use.
 */
CUPOOL_API int cupool_tensors_acquire(struct cupool_tensors *cache,
                                      const struct cupool_tensor_shape *shape, cupool_stream stream,
                                      size_t waste, cupool_tensor *ret_tensor, void **ret_memory);

/**
 * Releases a tensor after the work that `stream` has so far. It returns to the cache of the stream
 * it was acquired for. If that is another stream, it waits for the work on the device, never on
 * the host. Errors: -ESTALE released before; -EINVAL never was a tensor; -EBUSY the stream is
 * captured, and nothing changed.
 */
CUPOOL_API int cupool_tensors_release(struct cupool_tensors *cache, cupool_tensor tensor,
                                      cupool_stream stream);

CUPOOL_API int cupool_tensors_describe(struct cupool_tensors *cache, cupool_tensor tensor,
                                       struct cupool_tensor_info *ret_info);

/**
 * Reserves `count` tensors of a shape for `stream`, all or none; CUPOOL_STREAM_NONE: for every
 * stream. They are never evicted. CUPOOL_TENSOR_BYTES of rank 1 serves every shape on its device
 * that needs more than half of its bytes, whatever its flags. Errors as cupool_tensors_acquire().
 */
CUPOOL_API int cupool_tensors_reserve(struct cupool_tensors *cache,
                                      const struct cupool_tensor_shape *shape, cupool_stream stream,
                                      uint32_t count);

/**
 * Reserves the tensors listed in a file, for every stream of `device`. The file is text,
 *
 *     # count  type  dimensions
 *     4        f16   1x512x4096
 *     2        f32   1x8x512x512  flags=1
 *     8        bytes 1048576
 *
 * or a report of a recorded run (cupool report --format json). From a report it reserves, for each
 * of its `sizes`, the peak number of live blocks that were freed again, at `up_to_bytes`. Reserves
 * at most `budget` bytes (0: no limit), and skips rows that would exceed it. Errors: -ENOENT and
 * others of open; -EINVAL a line cannot be read, named by cupool_tensors_error(), and nothing was
 * reserved; -EFBIG beyond 64 MiB; as cupool_tensors_reserve(), and the rows before stay reserved.
 */
CUPOOL_API int cupool_tensors_reserve_file(struct cupool_tensors *cache, const char *path,
                                           uint32_t device, uint64_t budget, uint32_t *ret_tensors,
                                           uint64_t *ret_bytes);

/** Turns the reserved tensors of a device into ordinary ones, which can be evicted. */
CUPOOL_API int cupool_tensors_unreserve(struct cupool_tensors *cache, uint32_t device);

/** Changes the limits of a device, and evicts down to them. */
CUPOOL_API int cupool_tensors_limit(struct cupool_tensors *cache, uint32_t device,
                                    uint64_t limit_bytes, uint32_t limit_entries);

/** Evicts until at most `keep_bytes` are cached, reserved ones apart. */
CUPOOL_API int cupool_tensors_trim(struct cupool_tensors *cache, uint32_t device,
                                   uint64_t keep_bytes, uint64_t *ret_bytes);

CUPOOL_API int cupool_tensors_stats(struct cupool_tensors *cache, uint32_t device,
                                    struct cupool_tensors_statistics *ret_stats);

/** Copies the statistics of each shape, most acquires first; at most `room`. Returns how many
 * were written. */
CUPOOL_API int cupool_tensors_rows(struct cupool_tensors *cache, struct cupool_tensors_row *rows,
                                   uint32_t room);

/** Verifies every invariant. -EFAULT, with the first broken one in `why`. */
CUPOOL_API int cupool_tensors_check(struct cupool_tensors *cache, char *why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
