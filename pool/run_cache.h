/* SPDX-License-Identifier: MIT */
/*
 * Runs that are free as a whole: ordered by size for best fit, and by age for giving back.
 *
 * A treap (a binary tree by size and address whose shape is that of random insertion), so every
 * step is O(log n) expected whatever the program allocates. The extents lock guards all of it.
 */
#ifndef POOL_RUN_CACHE_H
#define POOL_RUN_CACHE_H

#include "pool/types.h"

/** Adds a run as the youngest; it becomes RUN_CACHED. */
void run_cache_insert_locked(struct extents *extents, struct run *run);

/** Takes a run out again; its `use` is the caller's to set. */
void run_cache_remove_locked(struct extents *extents, struct run *run);

/** The smallest run of at least `bytes`, or NULL. */
struct run *run_cache_best_locked(const struct extents *extents, size_t bytes);

struct run *run_cache_largest_locked(const struct extents *extents);

/** NULL, or the violated invariant. */
const char *run_cache_check_locked(const struct extents *extents);

#endif
