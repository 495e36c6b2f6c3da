/* SPDX-License-Identifier: MIT */
/*
 * Memory errors of the program: writes beside a block and after its free (option `guard`,
 * docs/guards.md). Nothing of the program is instrumented.
 *
 * A pooled block lies between two redzones, filled with a pattern on a stream of our own when it is
 * handed out. A freed block's redzones are compared in a batch behind all earlier work; the fence
 * that lets the pool hand the block out again lies behind that batch, so that nobody waits. With
 * `scrub:poison`, or where the pool has no fences, the free itself waits for the device, as the
 * driver's does; freed memory is then filled with poison, and compared before it is handed out
 * again, and whenever all is checked.
 *
 * Threading: every function from any thread. Lock order: the pool's locks, then guard_lock.
 */
#ifndef SHIM_GUARD_GUARD_H
#define SHIM_GUARD_GUARD_H

#include "shim/context/context.h"
#include "shim/memory/guarded.h"

/** True with `guard:redzone`. Decided before the first pool is made. */
static inline bool guard_is_on(void)
{
    return guarded_zone_bytes != 0;
}

/** Reads the options; before the first pool is made. */
void guard_start(void);

/** Watches the device work of a pool that is about to be made. With guards only. */
void guard_pool_watch(struct context *context, struct pool_config *config,
                      struct pool_backend *backend);

/** pool_allocate with redzones. Inside the gate. */
int guard_allocate(struct context *context, size_t bytes, uint32_t site,
                   struct pool_block *ret_block);

/** pool_free of such a block. Inside the gate. */
int guard_free(uint64_t address, uint32_t site, struct pool_block *ret_block);

/** Records what was found meanwhile. Outside every lock and the gate. */
void guard_settle(void);

/**
 * Compares everything there is of a context; of all if it is NULL. Waits for earlier device work,
 * but no longer than `most_ns`. Returns false where something could not be compared. Inside the
 * gate; guard_settle() follows.
 */
bool guard_check(struct context *context, uint64_t most_ns);

/** How long the end of a process or context waits for earlier work. */
#define GUARD_END_WAIT_NS (UINT64_C(2) * 1000000000)

/** Errors found so far in this process, and blocks that could not be compared. */
uint64_t guard_errors(void);
uint64_t guard_unverified(void);

/** A context is gone, and with it its stream and its blocks. */
void guard_forget_context(uint32_t number);

/** In the child after fork. */
void guard_fork_child(void);

#endif
