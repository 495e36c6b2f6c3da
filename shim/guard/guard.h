/* SPDX-License-Identifier: MIT */
/*
 * Detects memory errors of the program: writes beside a block and after its free (option `guard`,
 * docs/guards.md). The program is not instrumented.
 *
 * A pooled block lies between two redzones, filled with a pattern on a stream of our own when the
 * block is handed out. The redzones of a freed block are compared in a batch behind all earlier
 * work; the fence that lets the pool reuse the block lies behind that batch, so nobody waits. With
 * `scrub:poison`, or where the pool has no fences, the free itself waits for the device, as the
 * driver's free does. Freed memory is then filled with poison, which is compared before the memory
 * is handed out again, and at every full check.
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

/** Attaches guards to the device operations of a pool that is about to be created. With guards
 * only. */
void guard_pool_watch(struct context *context, struct pool_config *config,
                      struct pool_backend *backend);

/** pool_allocate with redzones. Inside the gate. */
int guard_allocate(struct context *context, size_t bytes, uint32_t site,
                   struct pool_block *ret_block);

/** pool_free of such a block. Inside the gate. */
int guard_free(uint64_t address, uint32_t site, struct pool_block *ret_block);

/** Records what was found meanwhile. Call it outside every lock and the gate. */
void guard_settle(void);

/**
 * Compares everything in a context, or in all if it is NULL. Waits for earlier device work, but no
 * longer than `most_ns`. Returns false where something could not be compared. Inside the gate;
 * guard_settle() follows.
 */
bool guard_check(struct context *context, uint64_t most_ns);

/** How long the end of a process or context waits for earlier work. */
#define GUARD_END_WAIT_NS (UINT64_C(2) * 1000000000)

/** Errors found so far in this process, and blocks that could not be compared. */
uint64_t guard_errors(void);
uint64_t guard_unverified(void);

/** A context has ended, and with it the guard's stream and blocks there. */
void guard_forget_context(uint32_t number);

/** In the child after fork. */
void guard_fork_child(void);

#endif
