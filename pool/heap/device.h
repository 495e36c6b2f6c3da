/* SPDX-License-Identifier: MIT */
/*
 * Calls of the backend, each counted, timed and observed in one place.
 *
 * Except device_fill(), none may be called under a bin or extents lock: they can take as long as
 * the driver likes. Errors are the backend's.
 */
#ifndef POOL_HEAP_DEVICE_H
#define POOL_HEAP_DEVICE_H

#include "pool/heap/types.h"

int device_segment_allocate(struct pool *pool, size_t bytes, uint64_t *ret_address);
int device_segment_free(struct pool *pool, uint64_t address, size_t bytes);

/** Makes a backend for mapped memory with the pool as `state`: its range and page operations
 * count, time and observe, respect limit_bytes, and call the pool's own backend. Others are
 * NULL. */
struct pool_backend device_mapped_backend(struct pool *pool);

/** Returns the memory that the device can still give; the maximum when it does not say.
 * `ret_total_bytes`, the device's size or 0, may be NULL. */
uint64_t device_room(struct pool *pool, uint64_t *ret_total_bytes);

/** For the observer: the epoch's number, 0 where there is none, and the bytes quarantined in it. */
struct device_epoch {
    uint32_t number;
    uint64_t bytes;
};

int device_fence_record(struct pool *pool, struct device_epoch epoch, pool_fence *ret_fence);
int device_fence_query(struct pool *pool, pool_fence fence, uint32_t number);
/** Waits for a fence, with a time limit: 1 signalled, 0 not. */
int device_fence_wait(struct pool *pool, pool_fence fence, struct device_epoch epoch,
                      uint64_t most_ns);
/** Waits for all work of the device. `bytes`: quarantined meanwhile; for the observer. */
int device_wait(struct pool *pool, uint64_t bytes);
/** The same with a time limit: 1 all completed, 0 not, or an error. */
int device_settle(struct pool *pool, uint64_t most_ns);
/** Whether memory that is free can be returned without a wait, although a fence is pending: 1; 2:
 * also memory that is not free yet, because only peers without access to it are busy; 0: no. */
int device_own_idle(struct pool *pool);
void device_fence_release(struct pool *pool, pool_fence fence);

/** Writes a block as `fill` says. Allowed under every lock. */
int device_fill(struct pool *pool, uint64_t address, size_t bytes, enum pool_fill fill);

void device_observe(struct pool *pool, const struct pool_event *event);
/** Notes a request that is about to be served. */
void device_request_note(struct pool *pool, enum pool_request request, uint64_t address,
                         uint64_t bytes);

#endif
