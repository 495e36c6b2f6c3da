/* SPDX-License-Identifier: MIT */
/*
 * Tiers below a pool of KV blocks: they keep blocks compressed, or elsewhere.
 *
 *     cupool_tier_file("/var/cache/kv", &store);
 *     struct cupool_tier tiers[] = {{.store = store, .name = "file", .bytes = 64ull << 30}};
 *     cupool_tiers_create(device, pool, &config, tiers, 1, &below);
 *     cupool_tiers_offload(below, handles, count, stream, NULL, NULL, &ticket);
 *     ...
 *     cupool_kv_prefetch(pool, hashes, count, ...);    brings back what the pool has lost
 *
 * An offloaded block becomes an entry: a header with key, identity and checksums, and the layers of
 * the block, encoded if a codec is named. The entry goes to each tier; a load takes it from the
 * first tier that has it. An entry that is damaged, truncated, or of another key, model or shape is
 * refused with the reason and removed, never decoded. A tier that fails is skipped: requests
 * continue, and blocks that only it holds are computed again.
 *
 * Threads of this object copy, encode and wait for stores; callbacks run on them. Blocks on a GPU
 * are encoded and decoded there by codecs that have kernels. The pool keeps a reference to a block
 * that is being stored; a block that is being loaded stays with its request. Only entries stored in
 * full are served.
 *
 * Threading: every function from any thread, except create and destroy. Destroy the tiers before
 * the pool. In a child after fork every function returns -ECHILD.
 */
#ifndef CUPOOL_TIER_H
#define CUPOOL_TIER_H

#include "codec.h"
#include "kv.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cupool_tiers;

#define CUPOOL_TIERS_MAX  4
#define CUPOOL_TIER_PLAIN (-1) /* in place of a codec: the bytes of the block as they are */

/** One entry in transit to or from a store. */
struct cupool_tier_item {
    struct cupool_kv_hash key;
    void *data;     /* put reads it, get writes it */
    size_t bytes;   /* put: of the entry; get: room on entry, size on return */
    uint64_t token; /* put may leave a number, which get and remove are given */
    int error;      /* set on return: 0, -ENOENT, -ENOSPC (get: more than the room), … */
};

/**
 * A store of entries, as a table of functions: one of those below, or the caller's own. The
 * functions may block, except available(), which is called with the tiers locked and must not call
 * them. Several threads call them at once. Of a store that is not shared, a key is put or removed
 * by one thread at a time, and read by nobody meanwhile; several may read it. A negative result
 * applies to all items of the call: the store could not be reached.
 */
struct cupool_tier_store {
    void *state;
    int shared; /* 1: others write, too, so the store is asked each time */
    /** Keeps entries, each as a whole or not at all. */
    int (*put)(void *state, struct cupool_tier_item *items, uint32_t count);
    int (*get)(void *state, struct cupool_tier_item *items, uint32_t count);
    void (*remove)(void *state, const struct cupool_tier_item *items, uint32_t count);
    /** Lists the entries from earlier runs, last used first; NULL: none. each() returns 0 for an
     * entry that it accepts; remove any other. */
    int (*list)(void *state,
                int (*each)(void *context, const struct cupool_tier_item *item, const void *header),
                void *context);
    /** Returns the bytes that an entry occupies; NULL: its own size. */
    uint64_t (*charge)(void *state, size_t bytes);
    /** Returns 0 while the store cannot be reached and need not be asked. NULL: it always can. */
    int (*available)(void *state);
    void (*close)(void *state);
};

/** Creates a store in host memory of `bytes`, on a buddy allocator: an entry occupies the pages
 * of 4 KiB it needs. */
CUPOOL_API int cupool_tier_host(uint64_t bytes, struct cupool_tier_store *ret_store);

/**
 * Opens a folder as a store, created if missing (0700); it must belong to this user alone. An
 * entry's file gets its name when it is complete; the next open removes what a killed process left
 * unfinished. One process at a time. Errors: -EPERM others may use the folder; -EBUSY another
 * process does; -ENOTDIR; -errno.
 */
CUPOOL_API int cupool_tier_file(const char *folder, struct cupool_tier_store *ret_store);

struct cupool_tier_server_config {
    const char *address;  /* a host or number, or the path of a socket (begins with '/') */
    uint16_t port;        /* 0: 6379 */
    const char *password; /* NULL: none */
    const char *prefix;   /* of every key; NULL: "cupool" */
    uint32_t timeout_ms;  /* of one call; 0: 1000 */
    uint32_t retry_ms;    /* after a failure: not asked for so long, doubling to 32 times; 0: 100 */
    uint32_t expire_s;    /* entries end after so long; 0: the server decides */
};

/**
 * Uses a Valkey or Redis server as a store. It need not be running: the connection is made at
 * first use, and again after a failure. Its data is verified like any entry. Errors: -ENOTSUP
 * built without hiredis; -EINVAL; -ENOMEM.
 */
CUPOOL_API int cupool_tier_server(const struct cupool_tier_server_config *config,
                                  struct cupool_tier_store *ret_store);

struct cupool_tier {
    struct cupool_tier_store store;
    const char *name; /* for statistics; at most 31 characters are kept */
    uint64_t bytes;   /* budget; of no meaning for a shared store */
    uint32_t entries; /* at most; 0: 65,536. Not for a shared store */
};

struct cupool_tiers_config {
    /** Model, revision, and anything else that makes blocks of equal keys differ; NULL: "". */
    const char *identity;
    int codec;              /* an enum cupool_codec, or CUPOOL_TIER_PLAIN (default) */
    uint32_t exact_first;   /* tokens at the start of a sequence that stay exact; default 4 */
    uint32_t exact_newest;  /* tokens at its end that do; default 128 */
    uint32_t keep_permille; /* of pruning codecs */
    uint32_t threads;       /* default 2 */
    uint32_t queue;         /* blocks under way at most; default 4096 */
    uint32_t batch;         /* blocks that a thread takes at once; default 8 */
    uint32_t requests;      /* offloads under way at most; default 256 */
    int promote;            /* 1 (default): what a lower tier gave goes to those above it, too */
    uint32_t events;        /* kept for each tier; 0: none */
};

enum cupool_tier_presence {
    CUPOOL_TIER_MISS,
    CUPOOL_TIER_HIT,
    CUPOOL_TIER_PENDING, /* it is being stored: not served yet */
    CUPOOL_TIER_ASK,     /* a shared store may have it */
};

/** Why an entry was refused. */
enum cupool_tier_fault {
    CUPOOL_TIER_SOUND,
    CUPOOL_TIER_SHORT, /* fewer bytes than a header, or than it says */
    CUPOOL_TIER_LONG,
    CUPOOL_TIER_MAGIC,
    CUPOOL_TIER_VERSION,
    CUPOOL_TIER_HEADER_CHECKSUM,
    CUPOOL_TIER_PAYLOAD_CHECKSUM,
    CUPOOL_TIER_OTHER_KEY,
    CUPOOL_TIER_OTHER_IDENTITY, /* of another model or shape */
    CUPOOL_TIER_FIELD,          /* a field of the header is out of range */
    CUPOOL_TIER_CODEC,          /* checksums hold, but the codec refuses a layer */
};

struct cupool_tier_statistics {
    char name[32];
    int shared, available;
    uint64_t entries, storing, pinned, bytes, budget;
    double usage; /* of the budget */
    uint64_t stored, stored_bytes, loaded, loaded_bytes, misses;
    uint64_t evictions;
    uint64_t refused;     /* no room */
    uint64_t failures;    /* the store answered an error */
    uint64_t unavailable; /* it could not be reached, or was not asked for that reason */
    uint64_t corrupt;     /* refused entries */
    enum cupool_tier_fault last_fault;
    uint64_t put_ns, get_ns, peak_bytes;
};

struct cupool_tiers_statistics {
    uint64_t queued, storing, loading; /* blocks, now */
    uint64_t offloads, stored, skipped, store_failures;
    uint64_t loads, loaded, load_misses;
    uint64_t raw_bytes, entry_bytes; /* before and after encoding */
    uint64_t exact, saturated;       /* blocks kept without loss; values out of the codec's range */
    uint64_t encode_ns, decode_ns, copy_ns;
    uint64_t age_steps, aged, aged_raw_bytes, aged_entry_bytes, age_ns;
    uint64_t device_encoded, device_decoded;     /* blocks, by kernels where they lie */
    uint64_t from_device_bytes, to_device_bytes; /* that blocks and entries took over the link */
};

/** Fills a configuration with the defaults. */
CUPOOL_API void cupool_tiers_config_init(struct cupool_tiers_config *config);

/**
 * Creates tiers below a pool (cupool_kv_set_lower). Unless it fails, the stores now belong to this
 * object. Entries from earlier runs are served if they match this identity and shape. Errors:
 * -EINVAL a parameter is out of range, or the pool has no memory; -ENOTSUP the codec does not fit
 * the pool's types; -ENOMEM.
 */
CUPOOL_API int cupool_tiers_create(struct cupool_device *device, struct cupool_kv *pool,
                                   const struct cupool_tiers_config *config,
                                   const struct cupool_tier *tiers, uint32_t count,
                                   struct cupool_tiers **ret_tiers);

/** Destroys the tiers: cancels work that has not begun (-ECANCELED), waits for the rest. */
CUPOOL_API void cupool_tiers_destroy(struct cupool_tiers *tiers);

/** Returns the message of the last error; "" if there was none. */
CUPOOL_API const char *cupool_tiers_error(const struct cupool_tiers *tiers);

/**
 * Begins to store registered blocks in every tier, after the work that `stream` has so far. The
 * handles remain the caller's and may be released at once. Blocks that a tier holds, or is storing
 * for another call, are not stored again there. callback(state, ticket, stored, error): `stored`
 * blocks are in at least one tier; the error is that of the first block that is in none. Without a
 * callback, cupool_tiers_result() returns the result. Errors: -EINVAL a block is not registered in
 * full; -ESTALE; -EAGAIN too many requests in progress; -E2BIG more blocks than `queue`. On error
 * nothing was begun.
 */
CUPOOL_API int cupool_tiers_offload(struct cupool_tiers *tiers, const cupool_kv_handle *handles,
                                    uint32_t count, cupool_stream stream,
                                    void (*callback)(void *state, cupool_kv_ticket ticket,
                                                     uint32_t stored, int error),
                                    void *state, cupool_kv_ticket *ret_ticket);

/** Returns the result of an offload without a callback: -EINPROGRESS, or its result, which also
 * forgets the ticket. */
CUPOOL_API int cupool_tiers_result(struct cupool_tiers *tiers, cupool_kv_ticket ticket,
                                   uint32_t *ret_stored);

/** Cancels the part of an offload that has not begun; the offload ends as usual. -ESTALE:
 * already over. */
CUPOOL_API int cupool_tiers_cancel(struct cupool_tiers *tiers, cupool_kv_ticket ticket);

/** Waits until no work is pending. Not from a callback. */
CUPOOL_API int cupool_tiers_drain(struct cupool_tiers *tiers);

/** Looks each hash up without asking a store; writes an enum cupool_tier_presence for each. */
CUPOOL_API int cupool_tiers_lookup(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                                   uint32_t count, uint8_t *ret_presence);

/**
 * Takes references to the blocks of the longest prefix that the pool or a tier holds. Blocks that
 * the pool has lost are loaded, decoded and registered by this thread, and are ready for work on
 * `stream`. `sources`, unless NULL, says which blocks were in the pool (CUPOOL_KV_PRESENT;
 * cupool_kv_stream_order() as after any match) and which were loaded.
 */
CUPOOL_API int cupool_tiers_match(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                                  uint32_t count, cupool_stream stream,
                                  cupool_kv_handle *ret_handles, uint8_t *sources,
                                  uint32_t *ret_matched);

/** Removes entries from every tier. */
CUPOOL_API int cupool_tiers_forget(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                                   uint32_t count);

/** What one step of the ager may do. */
struct cupool_tier_age {
    uint64_t age_ns;  /* cached blocks that nobody has used for so long */
    uint64_t bytes;   /* of blocks a step; 0: no limit */
    uint64_t time_ns; /* a step; 0: no limit */
    uint32_t blocks;  /* a step; 0: no limit */
};

/**
 * Runs one step of the ager on this thread. It encodes cached blocks without a reference that were
 * not used for `age_ns` into the tiers, the oldest first, and removes them from the pool;
 * cupool_tiers_match() or a prefetch brings them back. The first and the newest tokens of a
 * sequence are kept lossless. It checks its budget between two blocks. Blocks that no tier accepts
 * remain in the pool. Returns how many blocks moved, and their bytes before and after. With the
 * policy LRU, times of last use are known from the creation of the tiers on.
 */
CUPOOL_API int cupool_tiers_age_step(struct cupool_tiers *tiers, const struct cupool_tier_age *age,
                                     uint32_t *ret_blocks, uint64_t *ret_raw_bytes,
                                     uint64_t *ret_entry_bytes);

/** Polls the events of tier `tier`, counted from 0, as cupool_kv_events_poll() does. An event names
 * its tier by `tier` + 1, because 0 there is the pool. */
CUPOOL_API int cupool_tiers_events_poll(struct cupool_tiers *tiers, uint32_t tier,
                                        struct cupool_kv_event *events, uint32_t event_room,
                                        struct cupool_kv_hash *hashes, uint32_t hash_room,
                                        uint32_t *ret_events, uint64_t *ret_dropped);

CUPOOL_API int cupool_tiers_stats(struct cupool_tiers *tiers,
                                  struct cupool_tiers_statistics *ret_stats);
CUPOOL_API int cupool_tier_stats(struct cupool_tiers *tiers, uint32_t tier,
                                 struct cupool_tier_statistics *ret_stats);

/** A fault in words. */
CUPOOL_API const char *cupool_tier_fault_text(enum cupool_tier_fault fault);

/** Verifies every invariant. -EFAULT, with the first broken one in `why`. */
CUPOOL_API int cupool_tiers_check(struct cupool_tiers *tiers, char *why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
