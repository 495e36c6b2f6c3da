/* SPDX-License-Identifier: MIT */
/*
 * The supply's steps where memory is mapped (mapped.h): what takes the place of a driver allocation
 * and of a cached run that goes back.
 *
 * Memory that is free is unmapped only when it has left the quarantine; and as that may wait for
 * the device all the same, an allocation does it only while the device is idle or cannot be asked.
 * With POOL_REUSE_IMMEDIATE free memory may still be in use: then only while the device is idle.
 *
 * The backend lock is held; it is given up around calls that may wait.
 */
#ifndef POOL_BACKING_SUPPLY_MAPPED_H
#define POOL_BACKING_SUPPLY_MAPPED_H

#include "pool/backing/mapped.h"
#include "pool/backing/supply.h"

/**
 * Gets memory for a request: an extent, or a page that is cut for its shard, with up to
 * `more_bytes` mapped beside it. `stitch`: free memory of other places may be unmapped for it.
 * Errors: -ENOMEM, or the backend's.
 */
int supply_mapped_grow(struct supply_request *request, size_t more_bytes, bool stitch);

/** Whether free memory may be unmapped now. */
bool supply_mapped_may_unmap(struct pool *pool);

/** Gives back whole free handles until `bytes` are back; returns how many are. */
uint64_t supply_mapped_return(struct pool *pool, uint64_t bytes);

/** Counts and observes what a growth has stitched, if anything, since it began. */
void supply_stitch_note(struct pool *pool, const struct mapped_grown *grown, uint64_t start_ns);

/** Makes a pool's range, with what is to be reserved. Errors: -ENOTSUP, or the backend's. */
int supply_mapped_init(struct pool *pool);

/** Ends it; `abandon`: without a call of the backend. */
void supply_mapped_done(struct pool *pool, bool abandon);

#endif
