/* SPDX-License-Identifier: MIT */
/*
 * The supply of memory when the pool has no suitable block: the quarantine, the driver, pressure.
 *
 * Policy, in this order, one step per call: retire blocks from the quarantine; query fences; if
 * growing would exceed the ceiling, accept a cached run that fits less well; grow. While the device
 * is idle, growing first returns unsuitable cached runs, oldest first, until the pool stays under
 * the ceiling. The ceiling bounds the memory that the pool holds beyond the program's peak, as far
 * as that costs no waiting:
 *
 *   ceiling = peak of live_allocated + max(12 MiB, 1/16 of it)
 *
 * An allocation waits for no work while the driver can give memory. Returning memory makes the
 * driver wait for all pending work, so an allocation does that only while there is none.
 *
 * When growing fails and the pool holds anything that could help, the pressure ladder follows:
 * retire finished blocks; while the device is idle, return cached runs and request exactly the
 * wanted size; take a run of up to twice the size; wait for an epoch that a free closed, as the
 * driver's free would have, and restart; wait for the device for a bounded time, and restart; take
 * any large enough run; return the driver's own answer.
 *
 * The backend lock serializes all of this; hits never take it. It is released around every wait,
 * and around returning memory, which may wait.
 */
#ifndef POOL_BACKING_SUPPLY_H
#define POOL_BACKING_SUPPLY_H

#include "pool/heap/extents.h"
#include "pool/heap/types.h"

/** Rungs of the ladder that a request has climbed: its last action. */
enum supply_rung {
    SUPPLY_GROW,   /* nothing but ask the driver */
    SUPPLY_RETIRE, /* asked every fence */
    SUPPLY_RETURN, /* gave cached runs back, if the device was idle */
    SUPPLY_LOOSE,  /* accepted up to twice the size */
    SUPPLY_DRAIN,  /* waited for all that was owed, and for the device as long as is bearable */
    SUPPLY_WHOLE,  /* accepted any size */
};

/** A request that the pool could not serve from what it has. */
struct supply_request {
    struct pool *pool;
    size_t wanted_bytes;   /* of the slab, middle block or run */
    struct extent *extent; /* of the mapped range, taken for it; the request's */
    uint64_t generation;   /* of the pool when the last attempt began */
    enum extents_fit fit;  /* what it would accept by now */
    enum supply_rung rung;
    enum pool_outcome outcome; /* what it has cost so far */
    uint32_t last_number;      /* of the open epoch when it began: it waits for no later one */
    unsigned steps;            /* taken, whoever had what they brought */
    bool whole_run;            /* or an extent of the mapped range */
    bool drained;              /* has waited for the device */
    bool closed;               /* has closed an epoch since it last waited */
    bool idle;                 /* and has seen that returning memory would not wait */
    bool all_idle;             /* nor does anything else use memory of the pool */
};

/** Notes the state of the pool; call it before each attempt to allocate. */
void supply_attempt(struct supply_request *request);

/**
 * In a pool that has spread, before the request may take another shard's free memory: whether this
 * thread's shard can get some, from the quarantine without waiting or by growing below the
 * ceiling. Shards that live on each other's free memory contend at every operation.
 */
bool supply_apart(struct supply_request *request);

/** Takes one step. 0: try again; otherwise the error to report: -ENOMEM, or the backend's. */
int supply_more(struct supply_request *request);

/** Counts and reports that the program's request of this size was not served. */
void supply_failed(struct pool *pool, size_t bytes, int error);

/**
 * After a free, without a lock: closes the epoch when it is worth a fence. `shard` is the block's,
 * or for a large block the thread's.
 */
void supply_freed(struct shard *shard);

/** Returns free pinned runs to the driver, waiting for the device. */
void supply_doomed_return(struct pool *pool);

/**
 * Allocates an isolated extent for `bytes`. Errors: -ENOMEM, after cached memory was returned if
 * the device is idle, or because all of them together would waste too much; the backend's.
 */
int supply_isolate(struct pool *pool, size_t bytes, struct extent **ret_extent);

/** After the free of an isolated block: its memory is returned when it has left the quarantine. */
void supply_isolated_return(struct pool *pool);

/** Returns cached runs until their sum is within the configured bound. */
void supply_cache_bound(struct pool *pool);

#endif
