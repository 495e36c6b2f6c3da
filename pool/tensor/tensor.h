/* SPDX-License-Identifier: MIT */
/*
 * Internals of the tensor cache.
 *
 * A record is a piece of memory, a row a key. A record belongs to the row it was allocated for and
 * is live, cached there, or in transition (busy: one thread owns it). Cached records are on their
 * row's list, newest first; in the size tree of their device; and, unless reserved, on the device's
 * list by time of release.
 *
 *     held bytes = live + cached + reserved and not live
 *     record in the order of a device <=> cached and not reserved
 *     row idle <=> no record belongs to it
 *
 * Threading: the cache's lock guards everything except `error`. The backend's allocate and free,
 * and fence_record, are called without it.
 */
#ifndef POOL_TENSOR_TENSOR_H
#define POOL_TENSOR_TENSOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "include/cupool/tensor.h"
#include "pool/base/size_tree.h"
#include "pool/kv/heap.h"
#include "pool/tensor/backend.h"

#define TENSOR_NONE  0u /* no record, no row: numbers begin with 1 */
#define TENSOR_BATCH 32u

enum tensor_state { TENSOR_UNUSED, TENSOR_BUSY, TENSOR_LIVE, TENSOR_CACHED };

struct tensor_record {
    struct size_node node; /* in the tree while cached; its bytes and address always */
    tensor_stream last;    /* of the release */
    uint64_t fence;        /* valid if has_fence: the work of `last` */
    uint32_t generation;
    uint32_t row;
    uint32_t older, newer;   /* in the order of the device */
    uint32_t previous, next; /* in the row; next also of unused records */
    uint8_t state;           /* enum tensor_state */
    bool reserved, plain, has_fence;
};

struct tensor_row {
    struct cupool_tensor_shape shape;
    tensor_stream stream;
    uint64_t bytes, hash;
    uint64_t hits, misses, evictions;
    uint32_t chain;                  /* next of the same bucket; of unused rows: the next one */
    uint32_t first;                  /* newest cached record */
    uint32_t older, newer;           /* among the idle ones */
    uint32_t live, cached, reserved; /* live: also busy ones */
    bool used, idle;
};

struct tensor_device {
    struct tensor_backend backend;
    struct size_tree tree;
    uint32_t oldest, newest;      /* cached records that may be evicted */
    uint32_t bytes_reserved;      /* reserved records that serve every shape */
    uint64_t tree_reserved_bytes; /* reserved and not in use */
    struct cupool_tensors_statistics stats;
};

struct cupool_tensors {
    pthread_mutex_t lock;
    unsigned forks;
    _Atomic(const char *) error;
    struct kv_heap heap;
    struct tensor_record *records; /* [1 … record_count] */
    struct tensor_row *rows;       /* [1 … row_count] */
    uint32_t *buckets;             /* heads of chains; bucket_mask + 1 of them */
    uint32_t record_count, row_count, bucket_mask;
    uint32_t unused_record, unused_row;
    uint32_t idle_oldest, idle_newest;
    uint32_t device_count;
    struct tensor_device *devices;
    char text[96]; /* of an error that names a line; guarded by lock */
};

/** Memory to return to its source after the lock is released. */
struct tensor_freed {
    uint64_t address, bytes;
    tensor_stream stream;
    struct tensor_backend *backend;
    bool plain;
};

/** Memory evicted under the lock. Only the count is initialised, because this lies on the path
 * of a hit.
 */
struct tensor_evicted {
    unsigned count;
    struct tensor_freed freed[TENSOR_BATCH];
};

int tensors_fail(struct cupool_tensors *cache, int error, const char *text);
/** Takes the lock. -ECHILD: this is a child after fork. */
int tensors_lock(struct cupool_tensors *cache);

/** `backends`: one for each device of the configuration. */
int tensors_create(const struct cupool_tensors_config *config,
                   const struct tensor_backend *backends, struct cupool_tensors **ret_cache);

/** Host memory knows no streams. */
static inline tensor_stream tensors_stream(const struct tensor_device *device, cupool_stream stream)
{
    return device->backend.fence_record ? stream : TENSOR_STREAM_NONE;
}

/** The bytes of a shape that this cache can hold. */
int tensors_request_check(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                          uint64_t *ret_bytes);

/** Allocates memory for a new record, which is then live; the lock is not held. */
int tensors_fill(struct cupool_tensors *cache, struct tensor_device *device, uint32_t number,
                 uint64_t bytes, tensor_stream stream);

/** Moves a record from busy to live, and from busy back to cached with a new generation; the
 * lock is held. */
void tensors_live(struct cupool_tensors *cache, uint32_t number, tensor_stream stream);
void tensors_return(struct cupool_tensors *cache, uint32_t number);

/* Rows. The lock is held. */

/** Returns the row of a key; creates it if `make`. 0: there is none, and no room for one. */
uint32_t tensors_row(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                     tensor_stream stream, uint64_t bytes, bool make);
/** A record comes to a row, or leaves it for good. */
void tensors_row_join(struct cupool_tensors *cache, uint32_t row);
void tensors_row_leave(struct cupool_tensors *cache, uint32_t row);

/* Records. The lock is held. */

static inline struct tensor_device *tensors_device(struct cupool_tensors *cache, uint32_t record)
{
    return &cache->devices[cache->rows[cache->records[record].row].shape.device];
}

void tensors_cached_add(struct cupool_tensors *cache, uint32_t record);
void tensors_cached_remove(struct cupool_tensors *cache, uint32_t record);
/** Finds a cached record for this request; 0: none. It is then busy, its fence ordered. */
uint32_t tensors_find(struct cupool_tensors *cache, uint32_t row,
                      const struct cupool_tensor_shape *shape, uint64_t bytes, tensor_stream stream,
                      size_t waste, bool *ret_fit);
/** Before a record's memory goes back, on the stream of its release. That of a thread can be named
 * by this thread alone, so the caller's own waits for another's work. */
void tensors_fence_forget(const struct tensor_backend *backend, struct tensor_record *record);
/** Evicts the oldest cached record of a device into `evicted`. False: none, or no room there. */
bool tensors_evict(struct cupool_tensors *cache, struct tensor_device *device,
                   struct tensor_evicted *evicted);
/** Returns a busy record of this key; evicts for it if need be. 0: all are in use. */
uint32_t tensors_record_new(struct cupool_tensors *cache, const struct cupool_tensor_shape *shape,
                            uint64_t bytes, tensor_stream stream, struct tensor_evicted *evicted);
void tensors_record_give(struct cupool_tensors *cache, uint32_t record);

/** Gives the memory back; the lock is not held. */
void tensors_evicted_free(struct tensor_evicted *evicted);

/** Allocates memory for a record, in the three steps; the lock is not held. */
int tensors_memory(struct cupool_tensors *cache, struct tensor_device *device, uint64_t bytes,
                   tensor_stream stream, uint64_t *ret_address, bool *ret_plain);

/** Evicts until the device is within its limits; takes and leaves the lock. */
void tensors_limits_hold(struct cupool_tensors *cache, struct tensor_device *device,
                         uint64_t most_bytes, uint64_t most_entries, uint64_t *ret_bytes);

void tensors_held_count(struct tensor_device *device);

/* Profiles (profile.c). */

struct tensor_wish {
    struct cupool_tensor_shape shape;
    uint32_t count;
};

/**
 * Parses a text or a report; calls `each` for every row. -EINVAL: line `ret_line` cannot be read.
 * An error of `each` ends it. Keeps nothing, allocates nothing.
 */
int tensor_profile_read(const char *text, size_t bytes,
                        int (*each)(void *state, const struct tensor_wish *wish), void *state,
                        unsigned *ret_line);

#endif
