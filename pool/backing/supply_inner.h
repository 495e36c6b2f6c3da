/* SPDX-License-Identifier: MIT */
/*
 * What growing (supply.c) and giving back without a request (trim.c) share. The backend lock is
 * held; it is given up around calls that may wait.
 */
#ifndef POOL_BACKING_SUPPLY_INNER_H
#define POOL_BACKING_SUPPLY_INNER_H

#include "pool/backing/supply.h"

/** What the pool may hold where so much is live now. */
uint64_t supply_ceiling(struct pool *pool, uint64_t live);

/** Gives free memory outside segments back, runs that are cached longest first, until `bytes` are
 * back, or as many as are free now; *ret_returned says how many are. */
int supply_cached_return(struct pool *pool, uint64_t bytes, uint64_t *ret_returned);

/** Gives empty slabs to the buddy, and wholly free runs of the buddy to the cache. */
void supply_empties_release(struct pool *pool);

/** Gives runs that may not be handed out again to the driver; what it refuses now stays. */
void supply_doomed_try(struct pool *pool);

/** Gives the memory of isolated extents that were given back to the driver. */
void supply_isolated_try(struct pool *pool);

/** Gives all quarantined runs to the driver, which waits for the device; returns their bytes. */
uint64_t supply_surrender_all(struct pool *pool);

#endif
