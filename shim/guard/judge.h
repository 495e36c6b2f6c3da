/* SPDX-License-Identifier: MIT */
/*
 * Interprets the results of a batch as errors of the program.
 *
 * A front redzone that is damaged from its first byte on is the end of an overrun of the block
 * before it, if the redzone of that block is damaged, too. One write is one error, however many
 * blocks it crosses.
 *
 * Threading: _locked under guard_lock.
 */
#ifndef SHIM_GUARD_JUDGE_H
#define SHIM_GUARD_JUDGE_H

#include "shim/guard/device.h"
#include "shim/observe/memory_error.h"

/** Counts blocks that were never compared. Without a lock. */
void judge_unverified_add(uint64_t blocks);
uint64_t judge_unverified(void);

/**
 * Judges a batch that is done, and gives it back. One that failed behind the program's work counts
 * as unverified; whoever compares at once learns of a failure itself.
 */
void judge_batch_locked(struct guard_device *device, struct batch *batch);

/** Judges every batch of a device that is done. */
void judge_done_locked(struct guard_device *device);

/** Fills damaged redzones again, so that each error is reported once. */
void judge_repair_locked(struct guard_device *device);

/** True when there may be something to settle: finished batches, errors to record. */
bool judge_work_take(void);

/** Takes an error that was found. Without guard_lock. */
bool judge_error_take(struct memory_error *ret_error);

void judge_fork_child(void);

#endif
