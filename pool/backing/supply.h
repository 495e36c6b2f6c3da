/* SPDX-License-Identifier: MIT */
/*
 * Where memory comes from when the pool has none that suits: the quarantine, the driver, pressure.
 *
 * Policy, in this order, one step per call: take back what has left the quarantine; query fences;
 * wait for the oldest fence when the quarantine is at its bound, or when growing would exceed the
 * ceiling while the quarantine could serve; when growing would exceed the ceiling, accept a cached
 * run that fits less well; grow, after giving back cached runs that did not suit, oldest first,
 * until the pool stays under the ceiling. When growing fails, the pressure ladder:
 * retire what has finished, wait for the oldest epoch, return cached runs, the driver's own answer.
 *
 * The ceiling bounds what the pool may hold beyond what the program ever needed at once:
 *
 *   ceiling = peak of live_allocated + max(12 MiB, 1/16 of it)
 *
 * The backend lock makes all of this single-file; hits never take it.
 */
#ifndef POOL_BACKING_SUPPLY_H
#define POOL_BACKING_SUPPLY_H

#include "pool/blocks/extents.h"
#include "pool/core/types.h"

/** Rungs of the ladder that a request has climbed. */
enum supply_rung { SUPPLY_GROW, SUPPLY_WAIT, SUPPLY_RETURN, SUPPLY_FAIL };

/** A request that the pool could not serve from what it has. */
struct supply_request {
    struct pool *pool;
    size_t wanted_bytes; /* of the slab, middle block or run */
    bool whole_run;
    enum extents_fit fit; /* what it would accept by now */
    enum supply_rung rung;
    enum pool_outcome outcome; /* what it has cost so far */
    uint64_t generation;       /* of the pool when the last attempt began */
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

/** Brings pinned runs that are free back to the driver, waiting for the device. */
void supply_doomed_return(struct pool *pool);

/** Gives cached runs back until their sum is within the configured bound. */
void supply_cache_bound(struct pool *pool);

#endif
