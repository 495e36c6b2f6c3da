/* SPDX-License-Identifier: MIT */
/*
 * The supply's steps in mapped memory (mapped.h): they replace a driver allocation, and the return
 * of a cached run.
 *
 * Free memory is unmapped only when it has left the quarantine. Unmapping may still wait for the
 * device, so an allocation does it only while the device is idle or cannot be asked. With
 * POOL_REUSE_IMMEDIATE free memory may still be in use: then only while the device is idle.
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

/** Breaks one handle that is partly live, if the configuration and the backend allow it; whether it
 * did. The device is idle. */
bool supply_mapped_break(struct pool *pool);

/** Whether they allow it at all. */
bool supply_mapped_may_break(const struct pool *pool);

/** Whether unmapping or releasing could yield any memory; `parts`: or breaking, if that is allowed.
 */
bool supply_mapped_may_gain(struct pool *pool, bool parts);

/** Whether free memory may be unmapped now. May release the backend lock meanwhile. */
bool supply_mapped_may_unmap(struct pool *pool);

/** Releases whole free handles until `bytes` are back; returns how many. */
uint64_t supply_mapped_return(struct pool *pool, uint64_t bytes);

/** Counts and reports the bytes that a growth has stitched, if any, since it began. */
void supply_stitch_note(struct pool *pool, const struct mapped_grown *grown, uint64_t start_ns);

/** Creates a pool's range, with its reserved memory. Errors: -ENOTSUP, or the backend's. */
int supply_mapped_init(struct pool *pool);

/** Ends it; `abandon`: without a call of the backend. */
void supply_mapped_done(struct pool *pool, bool abandon);

#endif
