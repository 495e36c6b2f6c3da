/* SPDX-License-Identifier: MIT */
/*
 * Runs that are free as a whole: ordered by size for best fit, and by age for returning. The lock
 * of the runs guards everything.
 */
#ifndef POOL_HEAP_RUN_CACHE_H
#define POOL_HEAP_RUN_CACHE_H

#include "pool/heap/types.h"

/** Adds a run as the youngest; it becomes RUN_CACHED. */
void run_cache_insert_locked(struct runs *runs, struct run *run);

/** Removes a run; the caller sets its `use`. */
void run_cache_remove_locked(struct runs *runs, struct run *run);

/** Sets a free run aside that may never be handed out again: it waits to go to the driver. */
void run_cache_doom_locked(struct runs *runs, struct run *run);

/** The smallest run of at least `bytes`, or NULL. */
struct run *run_cache_best_locked(const struct runs *runs, size_t bytes);

/** Adds a run to the list of all runs of the pool, and removes it. */
void run_link_locked(struct runs *runs, struct run *run);
void run_unlink_locked(struct runs *runs, struct run *run);

/**
 * Makes a run on a 2 MiB extent that the caller has taken from the mapped range: RUN_CACHED in no
 * list, linked and in the page map. NULL without host memory.
 */
struct run *range_run_create_locked(struct pool *pool, struct extent *page);

/** Returns such a run to the range; it is gone afterwards. */
void range_run_give_locked(struct pool *pool, struct run *run);

struct run *run_cache_largest_locked(const struct runs *runs);

/** NULL, or the violated invariant. */
const char *run_cache_check_locked(const struct runs *runs);

/* Memory is short when the driver has less than this share of reserved memory left. */
#define ROOM_SHORT_SHARE 8u

/** Whether the driver has so little memory left that a run should serve what it fits exactly: the
 * rest of a larger one would be missing elsewhere. Mapped memory is stitched instead. */
static inline bool runs_are_short(const struct pool *pool)
{
    return !pool->mapped && count_get(&pool->room) < count_get(&pool->reserved) / ROOM_SHORT_SHARE;
}

#endif
