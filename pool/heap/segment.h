/* SPDX-License-Identifier: MIT */
/*
 * The segments under the buddy: the choice of the segment for a request, and the conversion of runs
 * to segments and back.
 *
 * Segments are listed by the order of their largest free block and, within it, by fullness. The
 * smallest sufficient order is served first, and within it the fullest segment. This spares large
 * free blocks and nearly empty segments, so that whole runs become free. A run without any block
 * goes to the cache of runs, except for one spare, so that a single block that comes and goes does
 * not cut a run each time.
 *
 * A run belongs to one shard while it is cut: two shards never write to the same segment, nor to
 * the cache lines that describe it. The extents lock guards everything; cutting and joining take
 * the lock of the runs inside it.
 */
#ifndef POOL_HEAP_SEGMENT_H
#define POOL_HEAP_SEGMENT_H

#include "pool/heap/types.h"

/* A cached run up to this size may be cut for the buddy before the driver is asked. */
#define SEGMENT_CUT_MAX (8 * POOL_SEGMENT_BYTES)

/* Limit when the driver has no more, and the device is too busy to return the run. */
#define SEGMENT_CUT_PRESSED_MAX (4096 * POOL_SEGMENT_BYTES)

/**
 * Takes leaves for a slab or a block; cuts a cached run when no segment serves. NULL when the pool
 * has none (then nothing has changed).
 */
struct segment *segment_leaves_take_locked(struct shard *shard, uint32_t leaves,
                                           uint32_t *ret_first_leaf);

/**
 * Takes any row of enough free leaves of a segment in use. Searches segments, so it is for when
 * memory is short.
 */
struct segment *segment_leaves_squeeze_locked(struct shard *shard, uint32_t leaves,
                                              uint32_t *ret_first_leaf);

/** Gives leaves back; their slots must be 0 already. */
void segment_leaves_give_locked(struct segment *segment, uint32_t first_leaf, uint32_t leaves);

/** Cuts a run that is in no list into segments. -ENOMEM without host memory; nothing changed. */
int segment_run_cut_locked(struct shard *shard, struct run *run);

/** Restores a run that could not be cut. Takes the lock of the runs. */
void segment_run_uncut(struct pool *pool, struct run *run);

/** Makes the spare run, if any, a cached one. */
void segment_spare_release_locked(struct shard *shard);

/** Takes every segment of a run out of service. */
void segment_run_pin_locked(struct shard *shard, struct run *run);

/** The segment of a page that is known to be one. */
static inline struct segment *segment_of_page(uint64_t address)
{
    return (struct segment *)page_map_get(address);
}

/** Returns the block that begins in the slot of an address, or the slab that covers it;
 * lock-free. */
static inline slot_entry segment_slot_get(struct segment *segment, uint64_t address)
{
    return atomic_load_explicit(&segment_slot(segment, address)->entry, memory_order_acquire);
}

static inline void segment_slot_set(struct segment *segment, uint64_t address, slot_entry entry)
{
    atomic_store_explicit(&segment_slot(segment, address)->entry, entry, memory_order_release);
}

/** Returns the middle block that begins in a window, or NULL. */
struct block *segment_window_get_locked(struct segment *segment, unsigned window);

/** Enters the block that begins in the window of an address; NULL removes it. */
void segment_window_set_locked(struct segment *segment, uint64_t address, struct block *block);

/** NULL, or the violated invariant. */
const char *segment_check_locked(struct segment *segment);

/** List key of a segment as it should be. */
uint8_t segment_key(const struct segment *segment);

/*
 * Locks the bin that owns the slab of an entry read without a lock; NULL when the slab is gone.
 * Slabs come and go only under their bin's lock, so an entry that is unchanged now stays so, and
 * its segment too.
 */
static inline struct bin *slab_bin_lock(struct segment *segment, slot_entry entry, uint64_t address)
{
    struct shard *shard = atomic_load_explicit(&segment->shard, memory_order_acquire);
    struct bin *bin = &shard->bins[slot_class(entry)];

    pool_lock_acquire(&bin->lock);
    if (likely(segment_slot_get(segment, address) == entry &&
               segment->address == (address & ~(uint64_t)(POOL_SEGMENT_BYTES - 1)) &&
               segment->shard == shard))
        return bin;
    pool_lock_release(&bin->lock);
    return NULL;
}

#endif
