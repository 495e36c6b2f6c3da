/* SPDX-License-Identifier: MIT */
/*
 * Cached blocks of a pool in transit to lower tiers.
 *
 * Threading: any thread; call without the pool's lock.
 */
#ifndef POOL_TIER_AGE_H
#define POOL_TIER_AGE_H

#include "pool/kv/kv.h"

struct kv_aged {
    cupool_kv_handle handle;
    struct cupool_kv_hash key;
    uint32_t hits;
    bool exact; /* among the first or the newest of its sequence */
};

/** Keeps times of last use and places in sequences from now on. */
int kv_age_begin(struct cupool_kv *pool, uint32_t newest_blocks);
/** Takes quiet references to cached blocks last used before a time, in the order of victims. */
uint32_t kv_age_take(struct cupool_kv *pool, uint64_t before_ns, uint32_t first_blocks,
                     uint32_t room, struct kv_aged *ret_aged);
/** Releases such a reference: the block leaves the pool, or stays at its place in the order,
 * unless somebody uses it by now. True: it left. */
bool kv_age_give(struct cupool_kv *pool, const struct kv_aged *aged, bool leave);
/** The data that a tier needs to store a block. -ESTALE; -EINVAL: not registered in full. */
int kv_age_describe(struct cupool_kv *pool, cupool_kv_handle handle, uint32_t first_blocks,
                    struct kv_aged *ret_aged);

#endif
