/* SPDX-License-Identifier: MIT */
/*
 * Shared by growing (supply.c) and by returning memory without a request (trim.c). The backend
 * lock is held; it is released around calls that may wait.
 */
#ifndef POOL_BACKING_SUPPLY_INNER_H
#define POOL_BACKING_SUPPLY_INNER_H

#include "pool/backing/supply.h"

/** What the pool may hold where so much is live now. */
uint64_t supply_ceiling(struct pool *pool, uint64_t live);

/** Returns free memory outside segments, the longest cached runs first, until `bytes` are back,
 * or all that are free now; *ret_returned says how many. */
int supply_cached_return(struct pool *pool, uint64_t bytes, uint64_t *ret_returned);

/** Returns empty slabs to the buddy, and wholly free runs of the buddy to the cache. */
void supply_empties_release(struct pool *pool);

/** Whether any freed memory still waits for device work. */
bool supply_quarantined(const struct pool *pool);

/** Whether a wait or a return could yield any memory, after supply_empties_release(); `parts`: or
 * breaking handles. */
bool supply_may_gain(struct pool *pool, bool parts);

/** Returns runs that may not be handed out again to the driver; refused ones stay. */
void supply_doomed_try(struct pool *pool);

/** Returns the memory of freed isolated extents to the driver. */
void supply_isolated_try(struct pool *pool);

/** Returns all quarantined runs to the driver, which waits for the device; returns their bytes. */
uint64_t supply_surrender_all(struct pool *pool);

#endif
