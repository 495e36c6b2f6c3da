/* SPDX-License-Identifier: MIT */
/*
 * A pool of KV blocks: ownership, identity and eviction.
 *
 *     free (Available) -> mutable (Allocated) -> complete -> active (Registered, referenced)
 *       ^                                                      |     ^
 *       +------------ eviction ------------ inactive (Returned) <-+--+ match
 *
 * A handle is generation:32 | id:32. The generation grows whenever the last reference to a block is
 * released, which makes older handles stale. A stale handle gives -ESTALE, one that never existed
 * -EINVAL; neither changes anything. A weak handle survives the release, and can be upgraded until
 * the block is evicted.
 *
 * Nothing allocates host memory after creation, except where a function says so. No function waits
 * for the device. The pool has no thread and no timer: the next call, or cupool_kv_poll(), notices
 * expired waiters and signalled fences.
 *
 * Threading: every function from any thread. Callbacks run outside every lock, on the thread that
 * triggered them, and may call the pool. The functions of a custom policy are an exception: they
 * run while a victim is chosen, and must not call the pool.
 */
#ifndef CUPOOL_KV_H
#define CUPOOL_KV_H

#include "device.h"
#include "identity.h"
#include "memory.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cupool_kv;

/** A reference to a block; 0 is none. */
typedef uint64_t cupool_kv_handle;
/** A block that may have been evicted meanwhile; 0 is none. */
typedef uint64_t cupool_kv_weak;
/** A request under way; 0 is none. */
typedef uint64_t cupool_kv_ticket;

/** The number of a handle's block, as kernels index it. */
static inline uint32_t cupool_kv_id(cupool_kv_handle handle)
{
    return (uint32_t)handle;
}

enum cupool_kv_type {
    CUPOOL_KV_F16,
    CUPOOL_KV_BF16,
    CUPOOL_KV_F32,
    CUPOOL_KV_F8_E4M3,
    CUPOOL_KV_F8_E5M2,
    CUPOOL_KV_I8,
};

/** Memory layout: the layers of a block are adjacent, or the blocks of a layer. */
enum cupool_kv_layout { CUPOOL_KV_BLOCKS_FIRST, CUPOOL_KV_LAYERS_FIRST };

/** Inside one layer of a block: [heads][tokens][dim] or [tokens][heads][dim]. */
enum cupool_kv_order { CUPOOL_KV_HND, CUPOOL_KV_NHD };

enum cupool_kv_policy {
    CUPOOL_KV_LRU,      /* least recently used */
    CUPOOL_KV_PRIORITY, /* lowest priority, among equals least recently used */
    CUPOOL_KV_CUSTOM,   /* lowest rank of the caller's function */
};

enum cupool_kv_state {
    CUPOOL_KV_FREE,     /* Available */
    CUPOOL_KV_MUTABLE,  /* Allocated: being written */
    CUPOOL_KV_COMPLETE, /* written, without identity */
    CUPOOL_KV_ACTIVE,   /* registered and referenced */
    CUPOOL_KV_INACTIVE, /* Returned: registered, without a reference, evictable */
    CUPOOL_KV_NULL,     /* the null block */
    CUPOOL_KV_RETIRED,  /* beyond the size the pool was shrunk to */
};

#define CUPOOL_KV_PRIORITY_DEFAULT 35
#define CUPOOL_KV_PRIORITY_MAX     100
#define CUPOOL_KV_KEY              0
#define CUPOOL_KV_VALUE            1

/** A block as a custom policy and cupool_kv_describe() see it. */
struct cupool_kv_block {
    cupool_kv_handle handle; /* 0 when the block has no reference */
    uint32_t id;
    enum cupool_kv_state state;
    uint32_t references;
    uint32_t priority;    /* now: an expired one is the default */
    uint32_t hits;        /* matches since registration; not counted by LRU */
    uint32_t tokens;      /* of a partial entry; block_tokens otherwise */
    uint64_t last_use_ns; /* not kept by LRU */
    int pinned;
    struct cupool_kv_hash hash; /* of a registered block */
};

struct cupool_kv_custom {
    void *state;
    /** Ranks a block when it becomes evictable: the lowest rank goes first, equal ranks by last
     * use. */
    uint64_t (*rank)(void *state, const struct cupool_kv_block *block);
    /** Returns 0 to veto the eviction of this block now. NULL: no vetoes. */
    int (*may_evict)(void *state, const struct cupool_kv_block *block);
};

struct cupool_kv_config {
    uint32_t blocks;       /* usable from the start, the null block not counted */
    uint32_t max_blocks;   /* cupool_kv_resize() may go up to this; 0: blocks */
    uint32_t block_tokens; /* default 16 */
    uint32_t layers, kv_heads, head_dim;
    enum cupool_kv_type key_type, value_type;
    enum cupool_kv_layout layout;
    enum cupool_kv_order order;
    int null_block;      /* 1: block 0 is reserved, its content is zero */
    int clear;           /* 1: a block is zeroed when it becomes free */
    int elastic;         /* 1: device memory comes in pages with use; blocks first only */
    size_t page_bytes;   /* of elastic memory; 0: the granularity of the device */
    uint32_t idle_pages; /* elastic: pages kept while no block of them is used or cached */
    int caching;         /* 0: nothing is registered or matched (default 1) */
    enum cupool_kv_policy policy;
    struct cupool_kv_custom custom;
    uint32_t events;      /* kept for cupool_kv_events_poll(); 0: none */
    uint32_t window;      /* requests in the window of the hit rate; default 1000 */
    uint32_t requests;    /* asynchronous ones under way at most; default 64 */
    uint32_t group, tier; /* named in events */
    /** Monotonic time; NULL: CLOCK_MONOTONIC. */
    uint64_t (*clock_ns)(void *state);
    void *clock_state;
};

/** Strides of one block's memory, in bytes. */
struct cupool_kv_geometry {
    uint64_t block_bytes, layer_bytes, key_bytes,
        value_bytes; /* value starts key_bytes after key */
    uint64_t block_stride, layer_stride;
    uint64_t key_token_stride, key_head_stride, value_token_stride, value_head_stride;
    void *base; /* of block 0, layer 0, key */
};

struct cupool_kv_statistics {
    uint64_t total, free, mutable_blocks, complete, active, inactive, pinned, draining;
    uint64_t available; /* free + inactive, without those that are pinned or draining */
    uint64_t peak_used; /* most blocks referenced at a time: mutable, complete and active */
    double usage;       /* share that is referenced */
    double occupied;    /* share that holds something */
    double hit_rate;    /* of all blocks asked for by matches */
    uint64_t queries, hits, matches;
    uint64_t allocations, allocation_calls, failures, waits;
    uint64_t evictions, registrations, duplicates, collisions, released, stale;
    uint64_t copies; /* copies on write */
    uint64_t events, events_dropped;
    uint64_t pages_mapped, page_bytes, overflow;
    uint64_t metadata_bytes;
};

/** Fills a configuration with the defaults. */
CUPOOL_API void cupool_kv_config_init(struct cupool_kv_config *config);

/**
 * Creates a pool on a device, with its memory. A pool of 0 layers has no memory: bookkeeping only.
 * Errors: -EINVAL a parameter is out of range; -ENOTSUP elastic where pages cannot be mapped;
 * -ENOMEM.
 */
CUPOOL_API int cupool_kv_create(struct cupool_device *device, const struct cupool_kv_config *config,
                                struct cupool_kv **ret_pool);

/** Destroys a pool; no call may be in progress. Pending requests end with -ECANCELED first. */
CUPOOL_API void cupool_kv_destroy(struct cupool_kv *pool);

/** Text of the last error; "" if there was none. */
CUPOOL_API const char *cupool_kv_error(const struct cupool_kv *pool);

/** The configuration that a pool was made with, max_blocks filled in; kv_heads, head_dim and
 * block_tokens are here. */
CUPOOL_API void cupool_kv_config_of(const struct cupool_kv *pool,
                                    struct cupool_kv_config *ret_config);

CUPOOL_API void cupool_kv_strides(const struct cupool_kv *pool,
                                  struct cupool_kv_geometry *ret_geometry);

/**
 * Takes `count` blocks, all or none: free blocks first, then victims in the order of the policy. A
 * block that device work may still use is taken if that work is on `stream`; otherwise `stream` is
 * made to wait for the work; without a stream the block is passed over. Errors: -ENOMEM not that
 * many; -EAGAIN enough, but others have waited longer, or device work has to end first.
 */
CUPOOL_API int cupool_kv_allocate(struct cupool_kv *pool, uint32_t count, cupool_stream stream,
                                  cupool_kv_handle *ret_handles);

/**
 * The same, but a request that cannot be served now waits; waiting requests are served in order.
 * The caller keeps `handles` valid until the request ends. The end is reported by
 * callback(state, ticket, 0 or -ETIMEDOUT or -ECANCELED), or with a NULL callback by
 * cupool_kv_ticket_result(). The deadline is a time of the pool's clock; 0: none.
 * Errors: -ENOMEM the pool will never have that many, which the callback gets, too, after a
 * cupool_kv_resize(); -ENOBUFS too many requests.
 */
CUPOOL_API int cupool_kv_allocate_async(
    struct cupool_kv *pool, uint32_t count, cupool_stream stream, uint64_t deadline_ns,
    cupool_kv_handle *handles, void (*callback)(void *state, cupool_kv_ticket ticket, int error),
    void *state, cupool_kv_ticket *ret_ticket);

/** Returns the result of a request without a callback: -EINPROGRESS, or its result, which also
 * forgets the ticket. */
CUPOOL_API int cupool_kv_ticket_result(struct cupool_kv *pool, cupool_kv_ticket ticket);

/** Cancels a request: its callback gets -ECANCELED, and what it held is given back; a handle that
 * is not 0 then is still the caller's. Errors: -ESTALE already over; -EBUSY the stream of a
 * prefetch is captured, and nothing changed. */
CUPOOL_API int cupool_kv_cancel(struct cupool_kv *pool, cupool_kv_ticket ticket);

/** Serves waiters, ends those that timed out, polls fences. Returns how many requests ended. */
CUPOOL_API int cupool_kv_poll(struct cupool_kv *pool);

/** Returns an eventfd that becomes readable when a request or a prefetch ends. */
CUPOOL_API int cupool_kv_event_fd(struct cupool_kv *pool, int *ret_fd);

/** Takes one more reference to each. -ESTALE, -EINVAL: none was taken. */
CUPOOL_API int cupool_kv_retain(struct cupool_kv *pool, const cupool_kv_handle *handles,
                                uint32_t count);

/**
 * Releases one reference of each block. List the blocks in the order of the sequence: the last one
 * is the first to be reused. A block without identity becomes free, one with identity inactive;
 * either is reused only after the work that `stream` has so far. Errors: -ESTALE or -EINVAL a
 * handle is not valid, and nothing was released. A block named more often than it has references
 * is released as often as it has, and the result is -ESTALE. -EBUSY the stream is captured, and
 * nothing was released.
 */
CUPOOL_API int cupool_kv_release(struct cupool_kv *pool, const cupool_kv_handle *handles,
                                 uint32_t count, cupool_stream stream);

/** Makes a stream wait for device work on these blocks that was announced on other streams. */
CUPOOL_API int cupool_kv_stream_order(struct cupool_kv *pool, const cupool_kv_handle *handles,
                                      uint32_t count, cupool_stream stream);

/** Returns the address and size of one layer's keys (0) or values (1) of a block. */
CUPOOL_API int cupool_kv_memory(struct cupool_kv *pool, cupool_kv_handle handle, uint32_t layer,
                                int key_or_value, void **ret_memory, size_t *ret_bytes);

/** Everything known of a block. */
CUPOOL_API int cupool_kv_describe(struct cupool_kv *pool, cupool_kv_handle handle,
                                  struct cupool_kv_block *ret_block);

/** Marks the blocks as written in full: mutable becomes complete. */
CUPOOL_API int cupool_kv_complete(struct cupool_kv *pool, const cupool_kv_handle *handles,
                                  uint32_t count);

enum cupool_kv_duplicates {
    CUPOOL_KV_KEEP_BOTH,    /* two blocks of one hash are both registered */
    CUPOOL_KV_ANSWER_FIRST, /* the caller's is released, the older one retained in its place */
};

/**
 * Registers complete blocks under their hashes. `parent` is the hash before the first; NULL: a
 * root. A block already registered under the same hash stays as it is. `ret_handles` may be
 * `handles`; it differs where an older block was returned in place of a duplicate
 * (CUPOOL_KV_ANSWER_FIRST): `stream` is made to wait for the work on that one; if it cannot, or
 * without a stream while there is such work, both are kept. Readers on other streams wait for the
 * work that `stream` has so far, if they call cupool_kv_stream_order(). Errors: -EINVAL a block is
 * not complete; -EILSEQ different content has the same hash; -ESTALE. On error nothing was
 * registered.
 */
CUPOOL_API int cupool_kv_register(struct cupool_kv *pool, const cupool_kv_handle *handles,
                                  const struct cupool_kv_hash *hashes, uint32_t count,
                                  const struct cupool_kv_hash *parent,
                                  enum cupool_kv_duplicates duplicates, cupool_stream stream,
                                  cupool_kv_handle *ret_handles);

/**
 * Registers the first `tokens` tokens of a block that is still being written; this replaces its
 * earlier registration. Its owner continues to write behind them, so whoever matches it must copy.
 */
CUPOOL_API int cupool_kv_register_partial(struct cupool_kv *pool, cupool_kv_handle handle,
                                          const struct cupool_kv_hash *hash,
                                          const struct cupool_kv_hash *parent, uint32_t tokens,
                                          cupool_stream stream);

/** Takes references to the blocks of the longest cached prefix, under one lock. */
CUPOOL_API int cupool_kv_match(struct cupool_kv *pool, const struct cupool_kv_hash *hashes,
                               uint32_t count, cupool_kv_handle *ret_handles,
                               uint32_t *ret_matched);

/** Looks up each hash independently; 0 where there is no block. */
CUPOOL_API int cupool_kv_match_scattered(struct cupool_kv *pool,
                                         const struct cupool_kv_hash *hashes, uint32_t count,
                                         cupool_kv_handle *ret_handles, uint32_t *ret_matched);

/** Returns the length of the cached prefix. Touches nothing, takes no references, counts
 * nothing. */
CUPOOL_API int cupool_kv_peek(struct cupool_kv *pool, const struct cupool_kv_hash *hashes,
                              uint32_t count, uint32_t *ret_matched);

/** Makes a weak handle of a registered block; the caller needs no reference to it. */
CUPOOL_API int cupool_kv_downgrade(struct cupool_kv *pool, cupool_kv_handle handle,
                                   cupool_kv_weak *ret_weak);
/** Takes a reference through a weak handle. -ESTALE: the block was evicted. */
CUPOOL_API int cupool_kv_upgrade(struct cupool_kv *pool, cupool_kv_weak weak,
                                 cupool_kv_handle *ret_handle);

/**
 * Makes a block writable by the caller alone. Returns the handle itself if nobody else refers to
 * the block and it is not registered; otherwise copies it and releases the caller's reference to
 * the original. Errors: -ENOMEM no room; -EBUSY the stream is captured; -EAGAIN without a stream,
 * device work on the block has to end first. Then nothing changed.
 */
CUPOOL_API int cupool_kv_make_writable(struct cupool_kv *pool, cupool_kv_handle handle,
                                       cupool_stream stream, cupool_kv_handle *ret_handle);

/**
 * Sets priorities from 0 to 100, which return to the default after `duration_ns`; 0: for good.
 * -ERANGE: nothing changed.
 */
CUPOOL_API int cupool_kv_set_priority(struct cupool_kv *pool, const cupool_kv_handle *handles,
                                      uint32_t count, uint32_t priority, uint64_t duration_ns);

struct cupool_kv_priority_range {
    uint32_t first, count; /* blocks */
    uint32_t priority;
    uint64_t duration_ns;
};

/** Sets priorities of ranges of a sequence. -EINVAL: they overlap or leave it; nothing changed. */
CUPOOL_API int cupool_kv_set_priorities(struct cupool_kv *pool, const cupool_kv_handle *handles,
                                        uint32_t count,
                                        const struct cupool_kv_priority_range *ranges,
                                        uint32_t range_count);

/** Keeps the blocks after their last reference is released, until they are unpinned by hash. */
CUPOOL_API int cupool_kv_pin(struct cupool_kv *pool, const cupool_kv_handle *handles,
                             uint32_t count);
CUPOOL_API int cupool_kv_unpin(struct cupool_kv *pool, const struct cupool_kv_hash *hashes,
                               uint32_t count);

enum cupool_kv_evict_mode {
    CUPOOL_KV_EVICT_NORMAL,     /* not above the default priority, vetoes are heard */
    CUPOOL_KV_EVICT_AGGRESSIVE, /* everything without a reference that is not pinned */
};

/** Evicts at most `count` blocks in the order of the policy. */
CUPOOL_API int cupool_kv_evict(struct cupool_kv *pool, enum cupool_kv_evict_mode mode,
                               uint32_t count, uint32_t *ret_evicted);

/** Forgets these hashes; blocks without a reference become free. Returns how many were cached. */
CUPOOL_API int cupool_kv_forget(struct cupool_kv *pool, const struct cupool_kv_hash *hashes,
                                uint32_t count, uint32_t *ret_forgotten);

/** Evicts until at most `keep` cached blocks remain, and gives idle pages back. */
CUPOOL_API int cupool_kv_trim(struct cupool_kv *pool, uint32_t keep, uint32_t *ret_evicted);

/**
 * Changes the number of usable blocks. Blocks in use beyond the new size are counted in
 * `ret_overflow`, and retire when they are released. -ERANGE: beyond max_blocks.
 */
CUPOOL_API int cupool_kv_resize(struct cupool_kv *pool, uint32_t blocks, uint32_t *ret_overflow);

/** Forgets every hash. -EBUSY while blocks are in use, with their number; then nothing changed. */
CUPOOL_API int cupool_kv_reset(struct cupool_kv *pool, uint32_t *ret_in_use);

/** Sets a callback for when the share of referenced blocks crosses a threshold. See memory.h. */
CUPOOL_API int cupool_kv_pressure(
    struct cupool_kv *pool, const struct cupool_pressure_thresholds *thresholds,
    void (*callback)(void *state, enum cupool_pressure level, double usage), void *state);

/** Source of a prefetched block. */
enum cupool_kv_source {
    CUPOOL_KV_PRESENT, /* was here */
    CUPOOL_KV_LOADED,  /* brought back from a lower tier, registered */
    CUPOOL_KV_COMPUTE, /* reserved: the caller computes and registers it */
    CUPOOL_KV_LOADING, /* not yet known */
};

/** A block of a prefetch that a lower tier is to bring in. */
struct cupool_kv_load {
    struct cupool_kv_hash hash;
    cupool_kv_handle handle; /* into its memory */
    uint32_t index;          /* of the prefetch */
};

/** Lower tiers of the pool. The pool calls these functions outside every lock. */
struct cupool_kv_lower {
    void *state;
    /** Writes 1 for each hash that the tier holds, and keeps these entries until their load has
     * ended. */
    int (*lookup)(void *state, const struct cupool_kv_hash *hashes, uint32_t count,
                  uint8_t *ret_found);
    /**
     * Begins to load block `index` of a prefetch into the memory of `handle`. The load ends with
     * cupool_kv_prefetch_loaded(), from any thread, possibly before this returns. An error: not
     * begun.
     */
    int (*load)(void *state, const struct cupool_kv_hash *hash, cupool_kv_handle handle,
                cupool_kv_ticket ticket, uint32_t index, cupool_stream stream);
    /**
     * Optional: replaces load(), and gets all blocks of a look-up at once. Returns how many loads
     * have begun, counted from the first.
     */
    uint32_t (*load_many)(void *state, const struct cupool_kv_load *loads, uint32_t count,
                          cupool_kv_ticket ticket, cupool_stream stream);
};

CUPOOL_API int cupool_kv_set_lower(struct cupool_kv *pool, const struct cupool_kv_lower *lower);

/**
 * Prefetches the blocks of a sequence: takes references to the cached ones, reserves the rest (all
 * or none) and loads what the lower tier holds. `hashes`, `handles` and `sources` remain the
 * caller's, and must stay valid until the callback. With a NULL callback the end is reported by
 * cupool_kv_ticket_result(). Work of other streams on blocks that were PRESENT may be pending: see
 * cupool_kv_stream_order(). -ENOMEM, -EAGAIN: no room, as cupool_kv_allocate(); nothing was taken.
 */
CUPOOL_API int cupool_kv_prefetch(struct cupool_kv *pool, const struct cupool_kv_hash *hashes,
                                  uint32_t count, const struct cupool_kv_hash *parent,
                                  cupool_stream stream, cupool_kv_handle *handles, uint8_t *sources,
                                  void (*callback)(void *state, cupool_kv_ticket ticket, int error),
                                  void *state, cupool_kv_ticket *ret_ticket);

/** Ends a load. After an error the block has to be computed. -ESTALE: no such load. */
CUPOOL_API int cupool_kv_prefetch_loaded(struct cupool_kv *pool, cupool_kv_ticket ticket,
                                         uint32_t index, int error);

enum cupool_kv_event_kind { CUPOOL_KV_STORED, CUPOOL_KV_REMOVED, CUPOOL_KV_CLEARED };

/** A change of the cached blocks. Removals start at the tail of a sequence. */
struct cupool_kv_event {
    uint64_t sequence; /* grows by one for each event, also for dropped ones */
    enum cupool_kv_event_kind kind;
    uint32_t group, tier, block_tokens;
    uint32_t count;               /* of hashes */
    uint32_t first;               /* of them in the caller's array */
    int has_parent;               /* stored only */
    struct cupool_kv_hash parent; /* the logical one: also where it is a duplicate */
};

/** Returns the events since the last poll: whole events, as many as fit both arrays. */
CUPOOL_API int cupool_kv_events_poll(struct cupool_kv *pool, struct cupool_kv_event *events,
                                     uint32_t event_room, struct cupool_kv_hash *hashes,
                                     uint32_t hash_room, uint32_t *ret_events,
                                     uint64_t *ret_dropped);

CUPOOL_API int cupool_kv_stats(struct cupool_kv *pool, struct cupool_kv_statistics *ret_stats);

/** Blocks asked for and found by the last `window` matches. */
CUPOOL_API int cupool_kv_stats_window(struct cupool_kv *pool, uint64_t *ret_queries,
                                      uint64_t *ret_hits, double *ret_hit_rate);

/* The figures of the statistics one by one. */
CUPOOL_API uint64_t cupool_kv_total_blocks(struct cupool_kv *pool);
CUPOOL_API uint64_t cupool_kv_available_blocks(struct cupool_kv *pool);
CUPOOL_API uint64_t cupool_kv_free_blocks(struct cupool_kv *pool);
CUPOOL_API double cupool_kv_usage_rate(struct cupool_kv *pool);
CUPOOL_API double cupool_kv_hit_rate(struct cupool_kv *pool);

/** Verifies every invariant. -EFAULT, with the first broken one in `why`. */
CUPOOL_API int cupool_kv_check(struct cupool_kv *pool, char *why, size_t why_bytes);

/* Several pools of different geometry for the same sequences: full attention, sliding windows.
 * Their block sizes are multiples of the smallest, which is the block size of the hashes. */

struct cupool_kv_member {
    struct cupool_kv *pool;
    uint32_t window; /* tokens of a sliding window; 0: full attention */
};

/**
 * Matches one sequence in several pools. Finds the longest prefix for which every full pool has
 * all blocks, and every windowed pool has the blocks inside its window before the end of the
 * prefix. `hashes` are `count` hashes of blocks of the smallest size. ret_handles[m] receives
 * references to the blocks of member m (0 where a block lies before the window); NULL only looks.
 * The prefix is a multiple of the largest block size.
 */
CUPOOL_API int cupool_kv_match_group(const struct cupool_kv_member *members, uint32_t member_count,
                                     const struct cupool_kv_hash *hashes, uint32_t count,
                                     cupool_kv_handle *const *ret_handles, uint32_t *ret_tokens);

/**
 * Which blocks of a windowed pool are worth registering: those that the next token sees behind a
 * prefix of a multiple of `retention` tokens, or behind the last multiple of `alignment` that a
 * longer sequence can hit, or the same one again, which computes at least its last token. Writes
 * block positions in ascending order. -EINVAL: retention is not a positive multiple of `alignment`.
 */
CUPOOL_API int cupool_kv_window_tail(uint32_t block_tokens, uint32_t window, int64_t alignment,
                                     int64_t retention, uint64_t tokens, uint32_t *positions,
                                     uint32_t room, uint32_t *ret_count);

#ifdef __cplusplus
}
#endif

#endif
