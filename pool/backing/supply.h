/* SPDX-License-Identifier: MIT */
/*
 * Where memory comes from when the pool has none that suits: the quarantine, the driver, pressure.
 *
 * Policy, in this order, one step per call: take back what has left the quarantine; query fences;
 * when growing would exceed the ceiling, accept a cached run that fits less well; grow, while the
 * device is idle after giving back cached runs that did not suit, oldest first, until the pool
 * stays under the ceiling. The ceiling bounds what the pool holds beyond what the program ever
 * needed at once, as far as that costs no waiting:
 *
 *   ceiling = peak of live_allocated + max(12 MiB, 1/16 of it)
 *
 * An allocation waits for no work while the driver can give memory. Giving memory back makes the
 * driver wait for all work there is, so an allocation does that only while there is none.
 *
 * When growing fails, the pressure ladder: retire what has finished; while the device is idle give
 * cached runs back and ask for what is wanted exactly; take a run of up to twice the size; wait for
 * an epoch that a free closed, as the driver's free would have, and begin again; wait for the
 * device for a bounded time, and begin again; take whatever run is large enough; the driver's own
 * answer.
 *
 * The backend lock makes all of this single-file; hits never take it. It is given up around every
 * wait, and around giving back, which may be one.
 */
#ifndef POOL_BACKING_SUPPLY_H
#define POOL_BACKING_SUPPLY_H

#include "pool/heap/extents.h"
#include "pool/heap/types.h"

/** Rungs of the ladder that a request has climbed: what it did last. */
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
    bool idle;                 /* and has seen the device without work */
};

/** Notes the state of the pool; to be called before each attempt to allocate. */
void supply_attempt(struct supply_request *request);

/**
 * In a pool that has spread, before the request may take what another shard has left over: whether
 * something came that this thread's shard can have, from the quarantine without waiting or from
 * growing below the ceiling. Shards that live on each other's leftovers meet at every operation.
 */
bool supply_apart(struct supply_request *request);

/** Takes one step. 0: try again; otherwise the error to report: -ENOMEM, or the backend's. */
int supply_more(struct supply_request *request);

/** Counts and observes that the program's request of so many bytes was not served. */
void supply_failed(struct pool *pool, size_t bytes, int error);

/**
 * After a free, without a lock: closes the epoch when it is worth a fence. `shard` is that of the
 * block, or for a large one of the thread.
 */
void supply_freed(struct shard *shard);

/** Brings pinned runs that are free back to the driver, waiting for the device. */
void supply_doomed_return(struct pool *pool);

/**
 * An isolated extent that holds `bytes`. Errors: -ENOMEM, though what was cached has been given
 * back if the device is idle, or all of them would waste too much together; the backend's.
 */
int supply_isolate(struct pool *pool, size_t bytes, struct extent **ret_extent);

/** After the free of an isolated block: its memory goes back when it has left the quarantine. */
void supply_isolated_return(struct pool *pool);

/** Gives cached runs back until their sum is within the configured bound. */
void supply_cache_bound(struct pool *pool);

#endif
