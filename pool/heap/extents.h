/* SPDX-License-Identifier: MIT */
/*
 * Middle and large blocks, and the space for slabs.
 *
 * A middle block is whole leaves of a segment and belongs to the extents of a shard, a large one is
 * a whole run and belongs to the runs of the pool. Either kind, `struct blocks`, has a quarantine,
 * a list whose labels never decrease (quarantine.h), and a lock that guards all of it; no function
 * calls the driver, except to scrub.
 */
#ifndef POOL_HEAP_EXTENTS_H
#define POOL_HEAP_EXTENTS_H

#include "pool/heap/types.h"

/** How much a cached run may exceed a large request; each step includes the one before. */
enum extents_fit {
    EXTENTS_FIT_CLOSE,  /* by large_waste_percent */
    EXTENTS_FIT_BUDGET, /* by the request again, while all such waste stays a small share of live */
    EXTENTS_FIT_ANY,    /* by the request again */
    EXTENTS_FIT_WHOLE,  /* by however much */
};

/** Bytes a run for a large request has. */
static inline size_t extents_run_bytes(size_t bytes)
{
    return pool_round_up(bytes, POOL_SEGMENT_BYTES);
}

/**
 * Allocates a middle block from the shard's free memory, or from blocks that have left quarantine.
 * False when nothing is suitable.
 */
bool extents_allocate_locked(struct shard *shard, size_t bytes, uint32_t site,
                             struct pool_block *ret_block);

/** Allocates a large block from cached runs, or any block from the mapped range. */
bool runs_allocate_locked(struct pool *pool, size_t bytes, enum extents_fit fit, uint32_t site,
                          struct pool_block *ret_block);

/** Allocates a block on an extent of the mapped range that the caller has taken. */
void runs_adopt_locked(struct pool *pool, struct extent *extent, size_t bytes, uint32_t site,
                       struct pool_block *ret_block);

/** Does the same on an isolated extent: the block ends where the extent ends. */
void runs_adopt_isolated_locked(struct pool *pool, struct extent *extent, size_t bytes,
                                uint32_t site, struct pool_block *ret_block);

/**
 * Locks the group of blocks around `address`, if any; `entry` is its page map entry and not 0.
 * NULL: the page has changed owner since.
 */
struct blocks *blocks_lock(uint64_t address, page_entry entry);

/** Moves a live block to the quarantine, or frees it at once with POOL_REUSE_IMMEDIATE. */
void blocks_free_locked(struct pool *pool, struct blocks *blocks, struct block *block,
                        uint32_t site);

/** Retires up to `limit` blocks from the quarantine; returns how many. */
unsigned blocks_retire_locked(struct pool *pool, struct blocks *blocks, unsigned limit);

/**
 * Takes the run of the longest-quarantined large block, as RUN_DOOMED in no list. Nothing shows
 * when its memory may be reused, but the driver may have it back, because it waits for the device
 * itself. NULL when there is none, or it would have to be scrubbed first.
 */
struct run *runs_surrender_locked(struct pool *pool);

/** Whether a slab or middle block of this many bytes may fit in a shard; asked without its lock. */
static inline bool extents_may_have_room(const struct shard *shard, size_t bytes)
{
    return count_get(&shard->extents.free_bytes) >= bytes ||
           runs_free_bytes(&shard->pool->runs) > 0;
}

/** Takes space for a slab, entered in the slots; `slab` gets base and segment. False when there
 * is none.
 */
bool extents_slab_place_locked(struct shard *shard, struct slab *slab, size_t bytes);
void extents_slab_remove_locked(struct slab *slab, size_t bytes);

/** Returns the middle or large block that contains an address, or NULL; its blocks_lock() is
 * held. */
struct block *block_around_locked(uint64_t address, page_entry entry);

void block_describe_locked(struct block *block, struct pool_block *ret_block);

#endif
