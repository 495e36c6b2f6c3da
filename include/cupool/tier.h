/* SPDX-License-Identifier: MIT */
/*
 * What lies below a pool of KV blocks: tiers that keep blocks in fewer bytes, or elsewhere.
 *
 *     cupool_tier_file("/var/cache/kv", &store);
 *     struct cupool_tier tiers[] = {{.store = store, .name = "file", .bytes = 64ull << 30}};
 *     cupool_tiers_create(device, pool, &config, tiers, 1, &below);
 *     cupool_tiers_offload(below, handles, count, stream, NULL, NULL, &ticket);
 *     ...
 *     cupool_kv_prefetch(pool, hashes, count, ...);    brings back what the pool has lost
 *
 * An offloaded block becomes an entry: a header with key, identity and checksums, and the layers of
 * the block, encoded if a codec is named. It goes to each tier; a block that is wanted again comes
 * from the first tier that has it. An entry that is damaged, cut short, or of another key, model or
 * shape is refused with the reason and removed, never decoded. A tier that fails is passed over:
 * requests go on, and what it would have had is computed.
 *
 * Work is done by threads of this object: they copy, encode and wait for stores; callbacks run on
 * them. Blocks of a GPU are encoded and decoded there, by codecs that have kernels. The pool keeps
 * a reference to a block that is being stored; one that is being loaded stays with its request.
 * Nothing is served before it is stored whole.
 *
 * Threading: every function from any thread, but for create and destroy. Destroy the tiers before
 * the pool. In a child after fork every function answers -ECHILD.
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

/** One entry on its way to or from a store. */
struct cupool_tier_item {
    struct cupool_kv_hash key;
    void *data;     /* put reads it, get writes it */
    size_t bytes;   /* put: of the entry; get: room on entry, size on return */
    uint64_t token; /* put may leave a number, which get and remove are given */
    int error;      /* set on return: 0, -ENOENT, -ENOSPC (get: more than the room), … */
};

/**
 * A store of entries as a table of functions: those below, or the caller's own. They may block, and
 * are called by several threads at once, for one key by one at a time. A negative answer holds for
 * all items of the call: the store could not be reached.
 */
struct cupool_tier_store {
    void *state;
    int shared; /* 1: others write, too: what it holds is asked, not remembered */
    /** Keeps entries, each as a whole or not at all. */
    int (*put)(void *state, struct cupool_tier_item *items, uint32_t count);
    int (*get)(void *state, struct cupool_tier_item *items, uint32_t count);
    void (*remove)(void *state, const struct cupool_tier_item *items, uint32_t count);
    /** Names what it holds from before, last used first; NULL: nothing. each() answers 0 for an
     * entry that is taken in; another one is to be removed. */
    int (*list)(void *state,
                int (*each)(void *context, const struct cupool_tier_item *item, const void *header),
                void *context);
    /** Bytes that an entry takes; NULL: its own. */
    uint64_t (*charge)(void *state, size_t bytes);
    /** 0: it cannot be reached now, and need not be asked. NULL: it always can. */
    int (*available)(void *state);
    void (*close)(void *state);
};

/** Host memory of `bytes`, on a buddy allocator: an entry takes what it needs in pages of 4 KiB. */
CUPOOL_API int cupool_tier_host(uint64_t bytes, struct cupool_tier_store *ret_store);

/**
 * A folder, made if it is not there (0700); it must be this user's and nobody else's. Entries are
 * files that appear under their name whole; what a killed process left half written is removed
 * when the folder is opened again. One process at a time.
 * Errors: -EPERM others may use the folder; -EBUSY another process does; -ENOTDIR; -errno.
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
 * A Valkey or Redis server. It need not be there: it is connected to when first used, and again
 * after a failure. What it sends is verified as any entry is.
 * Errors: -ENOTSUP built without hiredis; -EINVAL; -ENOMEM.
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
    /** Model, revision, and whatever else makes blocks of equal keys differ; NULL: "". */
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
    uint64_t raw_bytes, entry_bytes; /* of what was encoded: saved is the difference */
    uint64_t exact, saturated;       /* blocks kept without loss; values out of the codec's range */
    uint64_t encode_ns, decode_ns, copy_ns;
    uint64_t age_steps, aged, aged_raw_bytes, aged_entry_bytes, age_ns;
    uint64_t device_encoded, device_decoded;     /* blocks, by kernels where they lie */
    uint64_t from_device_bytes, to_device_bytes; /* that blocks and entries took over the link */
};

/** Fills a configuration with the defaults. */
CUPOOL_API void cupool_tiers_config_init(struct cupool_tiers_config *config);

/**
 * Puts tiers below a pool (cupool_kv_set_lower). The stores are this object's from now on, but for
 * an error. Entries that a store has from before are served if they are of this identity and shape.
 * Errors: -EINVAL a figure is out of range, or the pool has no memory; -ENOTSUP the codec does not
 * fit the pool's types; -ENOMEM.
 */
CUPOOL_API int cupool_tiers_create(struct cupool_device *device, struct cupool_kv *pool,
                                   const struct cupool_tiers_config *config,
                                   const struct cupool_tier *tiers, uint32_t count,
                                   struct cupool_tiers **ret_tiers);

/** Ends it: what has not begun is given up (-ECANCELED), what has is waited for. */
CUPOOL_API void cupool_tiers_destroy(struct cupool_tiers *tiers);

/** Text of the last error; "" if there was none. */
CUPOOL_API const char *cupool_tiers_error(const struct cupool_tiers *tiers);

/**
 * Begins to store registered blocks in every tier, after the work that `stream` has so far. The
 * handles stay the caller's and may be released at once. What a tier holds already, or is storing
 * for another call, is not stored again. callback(state, ticket, stored, error): `stored` blocks
 * are in at least one tier; the error is that of the first that is in none. A NULL callback leaves
 * that to cupool_tiers_result(). Errors: -EINVAL a block is not registered in full; -ESTALE;
 * -EAGAIN too much is under way. Nothing was begun then.
 */
CUPOOL_API int cupool_tiers_offload(struct cupool_tiers *tiers, const cupool_kv_handle *handles,
                                    uint32_t count, cupool_stream stream,
                                    void (*callback)(void *state, cupool_kv_ticket ticket,
                                                     uint32_t stored, int error),
                                    void *state, cupool_kv_ticket *ret_ticket);

/** Result of an offload without a callback: -EINPROGRESS, or its end, which forgets the ticket. */
CUPOOL_API int cupool_tiers_result(struct cupool_tiers *tiers, cupool_kv_ticket ticket,
                                   uint32_t *ret_stored);

/** Gives up what of an offload has not begun; its end comes as usual. -ESTALE: it is over. */
CUPOOL_API int cupool_tiers_cancel(struct cupool_tiers *tiers, cupool_kv_ticket ticket);

/** Waits until nothing is under way. Not from a callback. */
CUPOOL_API int cupool_tiers_drain(struct cupool_tiers *tiers);

/** What is known of each hash, without asking a store; an enum cupool_tier_presence for each. */
CUPOOL_API int cupool_tiers_lookup(struct cupool_tiers *tiers, const struct cupool_kv_hash *hashes,
                                   uint32_t count, uint8_t *ret_presence);

/**
 * Takes references to the blocks of the longest prefix that is here or below: what the pool has
 * lost is brought back by this thread, decoded and registered. The blocks are ready for work on
 * `stream`. `sources`, unless NULL, says which were here (CUPOOL_KV_PRESENT) and which were loaded.
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
 * One step of the ager, on this thread: cached blocks without a reference that were not used for
 * `age_ns` are encoded into the tiers, the oldest first, and leave the pool; a match by
 * cupool_tiers_match() or a prefetch brings them back. The first and the newest tokens of a
 * sequence are kept without loss. Between two blocks it looks at its budget. Blocks that no tier
 * takes stay where they are. Returns how many blocks went, and their bytes before and after.
 * With the policy LRU the time of last use is kept from the creation of the tiers on.
 */
CUPOOL_API int cupool_tiers_age_step(struct cupool_tiers *tiers, const struct cupool_tier_age *age,
                                     uint32_t *ret_blocks, uint64_t *ret_raw_bytes,
                                     uint64_t *ret_entry_bytes);

/** As cupool_kv_events_poll(), of one tier; `tier` of an event is its place, from 1. */
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

/** Verifies every invariant. -EFAULT names the first broken one in `why`. */
CUPOOL_API int cupool_tiers_check(struct cupool_tiers *tiers, char *why, size_t why_bytes);

#ifdef __cplusplus
}
#endif

#endif
