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
 *   reserved = the bytes of all handles = free + live
 *
 * Only free extents are unmapped; the caller gives extents back when no device work can touch them
 * any more, so no mapping changes under running work.
 *
 * Threading: the caller's lock guards all of it, and is held during driver calls.
 */
#ifndef POOL_BACKING_MAPPED_H
#define POOL_BACKING_MAPPED_H

#include "pool/backend.h"
#include "pool/blocks/range.h"

struct handle;

struct mapped_config {
    uint64_t page_bytes; /* of a handle at most; a power of two, from 2 MiB */
    uint64_t
        slack_bytes; /* the ceiling: peak of live bytes + max(slack_bytes, peak / slack_part) */
    uint64_t slack_part;
    uint64_t growth_part; /* a growth takes at least 1 / growth_part of what is reserved */
};

struct mapped_statistics {
    uint64_t created, released, mapped, enabled, unmapped; /* driver calls */
    uint64_t stitches, stitched_bytes;
};

struct mapped {
    struct range range;
    const struct pool_backend *backend;
    struct mapped_config config;
    struct mapped_statistics statistics;
    struct handle **handles; /* by page: the handle that begins there */
    uint64_t reserved_bytes, peak_live_bytes;
    pool_count account;
};

/** Reserves `bytes` of addresses. Errors: the backend's, -ENOMEM without host memory. */
int mapped_init(struct mapped *mapped, const struct pool_backend *backend,
                const struct mapped_config *config, uint64_t bytes);

/**
 * A live extent of at least `bytes`. Errors: -ENOMEM when the device has no more and stitching
 * cannot help; others from the backend.
 */
int mapped_allocate(struct mapped *mapped, uint64_t bytes, struct extent **ret_extent);

void mapped_free(struct mapped *mapped, struct extent *extent);

/** Releases whole free handles until `keep` bytes are reserved or none is left. */
uint64_t mapped_trim(struct mapped *mapped, uint64_t keep);

/** The violated invariant, or NULL. */
const char *mapped_check(const struct mapped *mapped);

#endif
