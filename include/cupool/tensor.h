/* SPDX-License-Identifier: MIT */
/*
 * A cache of tensors: memory of shapes that come again is handed out again.
 *
 * A key is rank, dimensions in their order, type, flags, device and stream, all of them compared;
 * (2, 3) and (3, 2) are two shapes. A released tensor stays cached for the same key until a limit,
 * a trim or a device without memory evicts the one released longest ago. Reserved tensors are
 * allocated beforehand and never evicted.
 *
 * Memory comes from cupool_memory_allocate(). When the device has none, what is cached goes back
 * and the allocation is repeated; then the driver is asked for the tensor alone; then -ENOMEM.
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

/** How much larger than asked for a tensor of another shape may be. */
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

/** Gives all memory back, after the work of the streams; also of tensors still in use. */
CUPOOL_API void cupool_tensors_destroy(struct cupool_tensors *cache);

/** Text of the last error; "" if there was none. */
CUPOOL_API const char *cupool_tensors_error(const struct cupool_tensors *cache);

/** Bytes of a shape; 0 with a dimension of 0. Errors: -EINVAL rank or type; -EOVERFLOW. */
CUPOOL_API int cupool_tensor_bytes(const struct cupool_tensor_shape *shape, uint64_t *ret_bytes);

/**
 * Takes a tensor for use on `stream`: one of the same key, else a reserved one of its size, else,
 * unless `waste` is CUPOOL_TENSOR_EXACT, the smallest cached one of the same device, flags and
 * stream with at most `waste` more bytes, else new memory. Its content is undefined.
 * With CUPOOL_STREAM_NONE no work is ordered: tensors whose work has not ended are passed over.
 * Errors: -EINVAL; -EOVERFLOW; -ENOMEM the device has not that much; -ENOBUFS all tensors of the
 * cache are in use.
 */
CUPOOL_API int cupool_tensors_acquire(struct cupool_tensors *cache,
                                      const struct cupool_tensor_shape *shape, cupool_stream stream,
                                      size_t waste, cupool_tensor *ret_tensor, void **ret_memory);

/**
 * Gives a tensor back after the work that `stream` has so far. It is cached for the stream that it
 * was acquired for, which waits for another one's work on the device, never on the host.
 * Errors: -ESTALE given back before; -EINVAL never was a tensor; -EBUSY the stream is captured, and
 * nothing changed.
 */
CUPOOL_API int cupool_tensors_release(struct cupool_tensors *cache, cupool_tensor tensor,
                                      cupool_stream stream);

CUPOOL_API int cupool_tensors_describe(struct cupool_tensors *cache, cupool_tensor tensor,
                                       struct cupool_tensor_info *ret_info);

/**
 * Allocates `count` tensors of a shape for `stream` beforehand; CUPOOL_STREAM_NONE: for every
 * stream. They are never evicted. CUPOOL_TENSOR_BYTES of rank 1 serves every shape on its device
 * with more than half of so many bytes, whatever its flags.
 * All or none. Errors as cupool_tensors_acquire().
 */
CUPOOL_API int cupool_tensors_reserve(struct cupool_tensors *cache,
                                      const struct cupool_tensor_shape *shape, cupool_stream stream,
                                      uint32_t count);

/**
 * Reserves what a file names, for every stream of `device`. The file is a text,
 *
 *     # count  type  dimensions
 *     4        f16   1x512x4096
 *     2        f32   1x8x512x512  flags=1
 *     8        bytes 1048576
 *
 * or a report of a recorded run (cupool report --format json): of each of its `sizes`, the blocks
 * that were live together at most and were freed again, at `up_to_bytes`.
 * At most `budget` bytes; 0: no limit. Rows that would exceed it are left out.
 * Errors: -ENOENT and others of open; -EINVAL a line cannot be read, named by
 * cupool_tensors_error(), and nothing was reserved; -EFBIG beyond 64 MiB; as
 * cupool_tensors_reserve(), and the rows before stay reserved.
 */
CUPOOL_API int cupool_tensors_reserve_file(struct cupool_tensors *cache, const char *path,
                                           uint32_t device, uint64_t budget, uint32_t *ret_tensors,
                                           uint64_t *ret_bytes);

/** Makes the reserved tensors of a device ordinary ones, that can be evicted. */
CUPOOL_API int cupool_tensors_unreserve(struct cupool_tensors *cache, uint32_t device);

/** Changes the limits of a device, and evicts down to them. */
CUPOOL_API int cupool_tensors_limit(struct cupool_tensors *cache, uint32_t device,
                                    uint64_t limit_bytes, uint32_t limit_entries);

/** Evicts until at most `keep_bytes` are cached, reserved ones apart. */
CUPOOL_API int cupool_tensors_trim(struct cupool_tensors *cache, uint32_t device,
                                   uint64_t keep_bytes, uint64_t *ret_bytes);

CUPOOL_API int cupool_tensors_stats(struct cupool_tensors *cache, uint32_t device,
                                    struct cupool_tensors_statistics *ret_stats);

/** Figures by shape, most acquires first; at most `room`. Returns how many were written. */
CUPOOL_API int cupool_tensors_rows(struct cupool_tensors *cache, struct cupool_tensors_row *rows,
                                   uint32_t room);

/** Verifies every invariant. -EFAULT names the first broken one in `why`. */
CUPOOL_API int cupool_tensors_check(struct cupool_tensors *cache, char *why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
