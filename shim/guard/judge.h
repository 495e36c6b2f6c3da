/* SPDX-License-Identifier: MIT */
/*
 * What the results of a batch say of the program.
 *
 * A redzone that was changed from its first byte on, in front of a block, is the end of an overrun
 * of the block before, if that one's redzone was changed, too: one write is one error, however many
 * blocks it goes over.
 *
 * Threading: _locked under guard_lock.
 */
#ifndef SHIM_GUARD_JUDGE_H
#define SHIM_GUARD_JUDGE_H

#include "shim/guard/device.h"
#include "shim/observe/memory_error.h"

/** Judges a batch that is done, and gives it back. */
void judge_batch_locked(struct guard_device *device, struct batch *batch);

/** Judges every batch of a device that is done. */
void judge_done_locked(struct guard_device *device);

/** Fills the redzones anew that were found changed, so that each error is told once. */
void judge_repair_locked(struct guard_device *device);

/** Whether any memory of a block is handed out. */
bool judge_overlaps_live_locked(const struct guarded_block *block);

/** True when there may be something to settle: batches that are done, errors to record. */
bool judge_work_take(void);

/** Takes an error that was found. Without guard_lock. */
bool judge_error_take(struct memory_error *ret_error);

void judge_fork_child(void);

#endif
