/* SPDX-License-Identifier: MIT */
/*
 * Accesses of the device to addresses without memory (`guard:page`).
 *
 * The driver reports only that a context broke: no address, no kernel. So the record holds the
 * error and the blocks that it may concern: live isolated ones, and those freed last.
 *
 * Threading: from any thread; fault_note under any lock, the others as they say.
 */
#ifndef SHIM_GUARD_FAULT_H
#define SHIM_GUARD_FAULT_H

#include "shim/context/context.h"
#include "shim/guard/blocks.h"

/** Notes that a context has just broken with this result. Takes no lock. */
void fault_note(struct context *context, CUresult result);

/** Records what was noted. Without guard_lock. */
void fault_settle(void);

/** An isolated block was freed. Without guard_lock. */
void fault_freed_note(const struct guarded_block *block);

/** A context is gone. Under guard_lock. */
void fault_forget_context(uint32_t number);

/** In the child after fork. */
void fault_fork_child(void);

#endif
