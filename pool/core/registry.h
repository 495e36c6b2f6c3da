/* SPDX-License-Identifier: MIT */
/*
 * Locks all pools of the process at once, for fork and for the checker.
 */
#ifndef POOL_CORE_REGISTRY_H
#define POOL_CORE_REGISTRY_H

#include "pool/heap/types.h"

void registry_add(struct pool *pool);
void registry_remove(struct pool *pool);

/** Takes the backend lock, every bin, all extents and the runs of a pool, in the order of their
 * ranks. */
void registry_pool_lock_all(struct pool *pool);
void registry_pool_unlock_all(struct pool *pool);

#endif
