/* SPDX-License-Identifier: MIT */
/*
 * The cold store: entries of any size in host memory, on the pool's buddy allocator.
 *
 * The memory is segments of 512 leaves of 4 KiB. An entry is a chain of pieces, each from a buddy,
 * so an entry fits as long as enough leaves are free anywhere. Each piece begins with the position
 * of the next.
 *
 * Threading: any thread. The owner of an entry reads and frees it (the index ensures that). The
 * lock is held to take and free leaves, not to copy.
 */
#ifndef POOL_TIER_COLD_H
#define POOL_TIER_COLD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/base/buddy.h"

#define COLD_LEAF_BYTES    ((size_t)4096)
#define COLD_SEGMENT_BYTES (COLD_LEAF_BYTES * SIZE_LEAVES)

struct cold {
    uint8_t *memory;
    struct buddy *segments; /* guarded by lock, as all below */
    uint32_t count;
    pthread_mutex_t lock;
    uint32_t hint; /* the segment that the last piece came from */
    uint64_t free_leaves;
};

/** Creates a store of whole segments of `bytes`; no memory is touched before use. -EINVAL: less
 * than one; -ENOMEM. */
int cold_init(struct cold *cold, size_t bytes);
void cold_done(struct cold *cold);

/** Allocates leaves for an entry, in as few pieces as possible. */
uint64_t cold_charge(size_t bytes);

/** Keeps a copy. -ENOSPC: nothing was kept. */
int cold_put(struct cold *cold, const void *data, size_t bytes, uint64_t *ret_token);

/** Copies an entry out. -ENOSPC: it has more than `room`, with its size; -EBADMSG: the chain is
 * broken. */
int cold_get(const struct cold *cold, uint64_t token, void *to, size_t room, size_t *ret_bytes);

void cold_free(struct cold *cold, uint64_t token);

/** NULL, or the violated invariant. */
const char *cold_check(struct cold *cold);

#endif
