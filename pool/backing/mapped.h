/* SPDX-License-Identifier: MIT */
/*
 * Physical memory below a range of addresses, in handles that are created, mapped, unmapped and
 * released as a whole.
 *
 * A request that no free extent holds leads to a gap (range.h), which is filled with new handles
 * while the pool is below its ceiling, and above it with whole free handles from elsewhere:
 * stitching. So free memory that is scattered over many extents serves a large block, without a
 * copy and without more memory.
 *
 *   every byte of the range that is not a hole lies in exactly one mapped handle
 *   reserved = the bytes of all handles
 *
 * Only free extents are unmapped. The caller gives an extent back when no device work can touch it
 * any more, so no mapping changes under running work.
 *
 * Threading: `lock` guards the range and the handles; it is never held during a driver call. The
 * caller's backend lock makes one thread at a time grow or trim.
 */
#ifndef POOL_BACKING_MAPPED_H
#define POOL_BACKING_MAPPED_H

#include "pool/backend.h"
#include "pool/base/lock.h"
#include "pool/backing/range.h"

struct mapped_handle;

struct mapped_config {
    uint64_t page_bytes;  /* of a handle at most; a power of two, from 2 MiB */
    uint64_t slack_bytes; /* ceiling = peak of live bytes + max(slack_bytes, peak / slack_part) */
    uint64_t slack_part;
    uint64_t growth_part; /* a growth takes at least 1 / growth_part of what is reserved; 0: none */
};

/** Driver calls, and what stitching moved. */
struct mapped_statistics {
    uint64_t created, released, mapped, enabled, unmapped;
    uint64_t stitches, stitched_bytes;
};

struct mapped {
    struct pool_lock lock;
    struct range range;             /* guarded by lock */
    struct mapped_handle **handles; /* by page, the one that begins there; guarded by lock */
    uint64_t peak_live_bytes;       /* guarded by lock */
    const struct pool_backend *backend;
    struct mapped_config config;         /* immutable after init */
    struct mapped_statistics statistics; /* guarded by the backend lock */
    uint64_t reserved_bytes;             /* guarded by the backend lock */
    pool_count account;                  /* bytes of host memory */
};

/** What replays of real traces chose (docs/allocator.md). */
void mapped_config_init(struct mapped_config *config);

/**
 * Reserves `bytes` of addresses, a multiple of 2 MiB. Errors: the backend's; -ENOMEM without host
 * memory.
 */
int mapped_init(struct mapped *mapped, const struct pool_backend *backend,
                const struct mapped_config *config, uint64_t bytes);

/** Releases every handle and the addresses; nothing may be live on the device. */
void mapped_done(struct mapped *mapped);

/** A live extent of at least `bytes` from free memory, or NULL. Calls no driver. */
struct extent *mapped_take(struct mapped *mapped, uint64_t bytes);

/**
 * A live extent of at least `bytes`, with more memory or by stitching. The caller holds the backend
 * lock. Errors: -ENOMEM: the device has no more and whole free handles do not suffice; others from
 * the backend, after which everything is as it was but for free memory that may have been released.
 */
int mapped_grow(struct mapped *mapped, uint64_t bytes, struct extent **ret_extent);

/** Gives a live extent back; it may be handed out and unmapped at once. */
void mapped_give(struct mapped *mapped, struct extent *extent);

/**
 * Releases whole free handles until at most `keep` bytes are reserved, the largest extents first.
 * The caller holds the backend lock. Returns the bytes released.
 */
uint64_t mapped_trim(struct mapped *mapped, uint64_t keep);

/** Bytes that whole free handles hold: what a trim could give back. */
uint64_t mapped_whole_bytes(struct mapped *mapped);

/** The violated invariant, or NULL. The caller holds the backend lock and `lock`. */
const char *mapped_check_locked(const struct mapped *mapped);

#endif
