/* SPDX-License-Identifier: MIT */
/*
 * Internals of the KV block pool.
 *
 * A block is a record of 64 bytes. Its word, generation:32 | state:4 | references:28, is changed by
 * compare-and-swap: the thread that brings the references of a block without identity to 0 owns it
 * until it is on the stack of free blocks. So allocation and release hold the lock only for the
 * stack. The pool's lock guards all other fields and structures.
 *
 * Invariants (check.c): free + draining + mutable + complete + active + inactive + in transit =
 * total; a block is in exactly one place: the stack, a fence's list, the order of victims, pinned,
 * or referenced; references > 0 <=> not evictable; an entry of the table <=> a registered block.
 *
 * Lock order: pages before the pool; backend calls under the pool's lock are fence_query,
 * fence_release, stream_check and stream_wait only.
 *
 * With `clear`, a free block is zero, or it is flagged and zeroed when it is taken. Zeroing is work
 * like any other: behind the block's fence, and part of it.
 */
#ifndef POOL_KV_KV_H
#define POOL_KV_KV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/cupool/kv.h"
#include "pool/kv/backend.h"
#include "pool/kv/events.h"
#include "pool/kv/fence.h"
#include "pool/kv/front.h"
#include "pool/kv/heap.h"
#include "pool/kv/order.h"
#include "pool/kv/record.h"
#include "pool/kv/table.h"

#define KV_CHUNK 64 /* blocks that are handled without another turn of the lock */

enum kv_request_kind { KV_REQUEST_NONE, KV_REQUEST_ALLOCATE, KV_REQUEST_PREFETCH };

enum kv_request_state {
    KV_REQUEST_WAITING, /* in the queue for blocks */
    KV_REQUEST_LOADING, /* loads of the lower tier are under way */
    KV_REQUEST_ENDED,   /* without a callback: the result is there */
};

/** An asynchronous request. Guarded by the pool's lock. */
struct kv_request {
    uint32_t generation;
    uint8_t kind, state;
    bool cancelled, starting;
    int error;
    uint32_t count, loads;
    uint32_t next; /* in the queue of waiters, or of free slots */
    uint64_t deadline_ns;
    cupool_stream stream;
    cupool_kv_handle *handles;
    uint8_t *sources;
    const struct cupool_kv_hash *hashes;
    struct cupool_kv_hash parent;
    bool has_parent;
    void (*callback)(void *state, cupool_kv_ticket ticket, int error);
    void *callback_state;
};

/** A page of elastic memory. A block raises `used` before it checks whether the page is mapped;
 * unmapping announces itself before it checks `used`. So at least one sees the other. */
struct kv_page {
    atomic_uint used; /* blocks on it that are not free */
    atomic_bool mapped;
    uint64_t page; /* of the backend; guarded by the lock */
};

/** Elastic memory. Its lock is taken to map and unmap, and never with the pool's lock held. */
struct kv_pages {
    pthread_mutex_t lock;
    struct kv_page *pages; /* NULL: the memory is one allocation */
    uint32_t count;
    atomic_uint mapped, idle; /* idle: mapped and not used, about */
    size_t page_bytes, range_bytes;
};

struct kv_window_entry {
    uint32_t queries, hits;
};

/** Counters. Guarded by the lock. */
struct kv_counters {
    uint64_t queries, hits, matches, allocations, allocation_calls, failures, waits;
    uint64_t evictions, registrations, duplicates, collisions, released, copies, overflow;
    uint64_t peak_used;
};

struct cupool_kv {
    /* Immutable after creation. */
    struct cupool_kv_config config;
    struct cupool_kv_geometry geometry;
    struct kv_backend backend;
    struct kv_record *records; /* [slots] */
    struct kv_use *uses;       /* [slots] */
    uint32_t first, slots;     /* first usable block; blocks there can be, with the null block */
    uint64_t memory_address, memory_bytes;
    struct kv_heap heap;

    _Atomic(const char *) error;
    _Atomic uint64_t stale; /* refused handles */
    atomic_uint waiting;    /* requests in the queue */

    atomic_bool gone; /* in a child after fork: the memory is the parent's */

    pthread_mutex_t lock;
    uint32_t limit; /* ids from here on retire */
    uint32_t *stack, stack_count;
    uint32_t draining, mutable_blocks, complete, active, pinned, retired;
    struct kv_table table;
    struct kv_order order;
    struct kv_fences fences;
    struct kv_events events;
    struct kv_counters counters;
    struct kv_window_entry *window;
    uint32_t window_at, window_count;
    uint64_t window_queries, window_hits;

    struct kv_request *requests;
    uint32_t request_free, wait_first, wait_last;
    int event_fd;
    struct cupool_kv_lower lower;

    struct {
        uint32_t normal_up, normal_down, aggressive_up, aggressive_down; /* blocks */
        struct cupool_pressure_thresholds thresholds;
        enum cupool_pressure level;
        void (*callback)(void *state, enum cupool_pressure level, double usage);
        void *state;
    } pressure;

    atomic_bool dated; /* the time of last use is kept */
    uint32_t newest;   /* blocks at the end of a sequence that lower tiers keep exact */

    struct kv_pages pages;
    atomic_bool fronts_on;
    uint32_t collisions;  /* times the lock was contended; guarded by it */
    int64_t front_limits; /* sum over all fronts; guarded by the lock */
    struct kv_front fronts[KV_FRONTS];
    struct cupool_kv *registry_next, *registry_previous;
};

/** Work to do after the lock is released; filled under it. */
struct kv_after {
    bool pressure, wake;
    enum cupool_pressure level;
    double usage;
    void (*callback)(void *state, enum cupool_pressure level, double usage);
    void *callback_state;
};

/* pool.c */
int kv_create(const struct kv_backend *backend, const struct cupool_kv_config *config,
              struct cupool_kv **ret_pool);
int kv_fail(struct cupool_kv *pool, int error, const char *text);
int kv_lock(struct cupool_kv *pool);
void kv_unlock(struct cupool_kv *pool);
uint64_t kv_now(const struct cupool_kv *pool);

/** Returns the time for a block's last use; 0 if nobody needs it. */
static inline uint64_t kv_use_time(const struct cupool_kv *pool)
{
    return atomic_load_explicit(&pool->dated, memory_order_relaxed) ? kv_now(pool) : 0;
}

/** Returns the record of a handle that has a reference; NULL with *ret_error otherwise. */
static inline struct kv_record *kv_find(struct cupool_kv *pool, cupool_kv_handle handle,
                                        int *ret_error)
{
    uint32_t id = (uint32_t)handle;
    uint64_t word;

    *ret_error = -EINVAL;
    if (id < pool->first || id >= pool->slots || handle >> 32 == 0)
        return NULL;
    word = atomic_load_explicit(&pool->records[id].word, memory_order_acquire);
    *ret_error = -ESTALE;
    if (kv_generation(word) != handle >> 32 || kv_references(word) == 0)
        return NULL;
    return &pool->records[id];
}

/** Whether each handle has a reference: 0, or the error of the first that has none. */
int kv_handles_find(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count);

static inline uint32_t kv_id(const struct cupool_kv *pool, const struct kv_record *record)
{
    return (uint32_t)(record - pool->records);
}

/** Whether work may be submitted to the stream; -EBUSY: it is captured. */
static inline int kv_stream_usable(const struct cupool_kv *pool, cupool_stream stream)
{
    return stream == CUPOOL_STREAM_NONE || !pool->backend.stream_check
               ? 0
               : pool->backend.stream_check(pool->backend.state, stream);
}

/** The stream for a request that another thread may serve: none, if it is the caller's own. */
static inline cupool_stream kv_stream_of_all(cupool_stream stream)
{
    return stream == CUPOOL_STREAM_PER_THREAD ? CUPOOL_STREAM_NONE : stream;
}

/* geometry.c: where a block's memory is. */
int kv_geometry_make(const struct cupool_kv_config *config, uint32_t slots,
                     struct cupool_kv_geometry *ret_geometry);
int kv_memory_each(struct cupool_kv *pool, uint32_t id,
                   int (*act)(struct cupool_kv *pool, uint64_t offset, uint64_t bytes, void *state),
                   void *state);
int kv_memory_clear(struct cupool_kv *pool, uint32_t id, cupool_stream stream);
int kv_memory_copy(struct cupool_kv *pool, uint32_t to, uint32_t from, cupool_stream stream);

/* take.c: taking blocks and giving them back, under the lock unless said otherwise. */
int kv_take(struct cupool_kv *pool, uint32_t count, cupool_stream stream, uint64_t *ret_ids);
void kv_push_free(struct cupool_kv *pool, uint32_t id, uint32_t fence);
/** Frees what passed fences held back. */
void kv_fences_look(struct cupool_kv *pool);
void kv_make_inactive(struct cupool_kv *pool, struct kv_record *record, uint64_t now_ns);
void kv_make_active(struct cupool_kv *pool, struct kv_record *record);
void kv_unregister(struct cupool_kv *pool, struct kv_record *record);
void kv_evict_block(struct cupool_kv *pool, struct kv_record *record);
/** Removes the next victim from the order, and notes its place. NULL: there is none. */
struct kv_record *kv_victim_take(struct cupool_kv *pool);
/** Puts a victim back in its place: of several the one taken last first. */
void kv_victim_restore(struct cupool_kv *pool, struct kv_record *record);
/** Likewise for a chain of them (record->next) that begins with the one taken last. */
void kv_victims_restore(struct cupool_kv *pool, uint32_t first);
void kv_after_fill(struct cupool_kv *pool, struct kv_after *after);
/** Turns taken ids into handles, with their memory. Without the lock. */
int kv_hand_out(struct cupool_kv *pool, uint32_t count, cupool_stream stream, uint64_t *handles);
/** Without the lock: callbacks and waiters. */
void kv_after_run(struct cupool_kv *pool, const struct kv_after *after);
void kv_describe(struct cupool_kv *pool, struct kv_record *record, uint64_t now_ns,
                 struct cupool_kv_block *ret_block);

/* release.c */
int kv_release_one(struct cupool_kv *pool, cupool_kv_handle handle, cupool_stream stream);
/** As cupool_kv_release(); *ret_serial stands for the work that the stream has, 0: none. */
int kv_release(struct cupool_kv *pool, const cupool_kv_handle *handles, uint32_t count,
               cupool_stream stream, uint32_t *ret_serial);
/** The serial of what is announced for a block; the handle may be stale already. */
uint32_t kv_block_serial(struct cupool_kv *pool, cupool_kv_handle handle);
/** The serial that stands for both. */
uint32_t kv_serials_join(struct cupool_kv *pool, uint32_t older, uint32_t newer);
/** Orders a stream behind a serial's work; without a stream, -EAGAIN until it is done. */
int kv_serial_order(struct cupool_kv *pool, uint32_t serial, cupool_stream stream);

/* request.c */
int kv_requests_init(struct cupool_kv *pool);
void kv_requests_end(struct cupool_kv *pool);
int kv_requests_serve(struct cupool_kv *pool);
struct kv_request *kv_request_find(struct cupool_kv *pool, cupool_kv_ticket ticket);
int kv_request_begin(struct cupool_kv *pool, enum kv_request_kind kind,
                     struct kv_request **ret_request, cupool_kv_ticket *ret_ticket);
void kv_request_finish(struct cupool_kv *pool, cupool_kv_ticket ticket, int error);
void kv_request_forget(struct cupool_kv *pool, struct kv_request *request);

/* prefetch.c */
void kv_prefetch_cancel(struct cupool_kv *pool, cupool_kv_ticket ticket);

/* pressure.c */
void kv_pressure_init(struct cupool_kv *pool);
void kv_pressure_bounds(struct cupool_kv *pool);
void kv_pressure_look(struct cupool_kv *pool, struct kv_after *after);

/* pages.c: elastic memory. */
int kv_pages_init(struct cupool_kv *pool);
void kv_pages_done(struct cupool_kv *pool);
/** Maps the pages of the blocks; without the pool's lock. On failure every block still counts as
 * needing its pages: kv_push_free() undoes that. */
int kv_pages_need(struct cupool_kv *pool, const uint64_t *ids, uint32_t count);
/** A block is free; any lock. */
void kv_pages_unneed(struct cupool_kv *pool, uint32_t id);
/** Unmaps idle pages until at most `keep` are left; without the pool's lock. */
void kv_pages_trim(struct cupool_kv *pool, uint32_t keep);

/* registry.c: the pools of the process, for fork. */
void kv_registry_add(struct cupool_kv *pool);
void kv_registry_remove(struct cupool_kv *pool);

static inline uint32_t kv_used(const struct cupool_kv *pool)
{
    return pool->mutable_blocks + pool->complete + pool->active;
}

static inline uint32_t kv_total(const struct cupool_kv *pool)
{
    return pool->slots - pool->first - pool->retired;
}

#endif
