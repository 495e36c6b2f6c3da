/* SPDX-License-Identifier: MIT */
/*
 * Middle and large blocks, and the room that slabs stand in.
 *
 * A middle block is whole leaves of a segment, a large one a whole run. Both go through one
 * quarantine, a list whose labels never decrease (quarantine.h). The extents lock guards all of it;
 * no function calls the driver, except to scrub.
 */
#ifndef POOL_EXTENTS_H
#define POOL_EXTENTS_H

#include "pool/types.h"

/** How much a cached run may exceed a large request; each step allows what the one before does. */
enum extents_fit {
    EXTENTS_FIT_CLOSE,  /* by large_waste_percent */
    EXTENTS_FIT_BUDGET, /* by the request again, while all such waste stays a small share of live */
    EXTENTS_FIT_ANY,    /* by the request again */
};

/** Bytes a run for a large request has. */
static inline size_t extents_run_bytes(size_t bytes)
{
    return pool_round_up(bytes, POOL_SEGMENT_BYTES);
}

/**
 * Hands out a block for a request above SIZE_SMALL_MAX, from what is free or has left the
 * quarantine. NULL when there is nothing suitable.
 */
struct block *extents_allocate_locked(struct pool *pool, size_t bytes, enum extents_fit fit);

/** Moves a live block to the quarantine, or with POOL_REUSE_IMMEDIATE back to what is free. */
void extents_free_locked(struct pool *pool, struct block *block, uint32_t site);

/** Takes up to `limit` blocks that have left the quarantine back; returns how many. */
unsigned extents_retire_locked(struct pool *pool, unsigned limit);

/**
 * Dooms the run of the large block that has been quarantined longest: nothing tells when its memory
 * may be reused, but the driver, which waits for the device itself, may have it back. False when
 * there is none, or it would have to be scrubbed first.
 */
bool extents_surrender_locked(struct pool *pool);

/** Room for a slab, entered in the slots; `slab` gets base and segment. False when there is none.
 */
bool extents_slab_place_locked(struct pool *pool, struct slab *slab, size_t bytes);
void extents_slab_remove_locked(struct slab *slab, size_t bytes);

/**
 * The block whose first byte is at `address`, for an entry of the page map read before the lock
 * was taken. -ENOENT: the page has changed hands since; -EINVAL: no block begins there.
 */
int extents_block_at_locked(uint64_t address, page_entry entry, struct block **ret_block);

/** The middle or large block that contains an address, or NULL. */
struct block *extents_block_around_locked(uint64_t address, page_entry entry);

void extents_block_describe_locked(struct block *block, struct pool_block *ret_block);

#endif
