/* SPDX-License-Identifier: MIT */
/*
 * The recorded device: its answers, call by call, and how long it was busy.
 *
 * As long as a policy makes the calls of the recorded pool, in order, it gets the recorded answers.
 * With the first different call it deviates, and the model answers from then on.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_DEVICE_SCRIPT_H
#define TOOLS_REPLAY_DEVICE_SCRIPT_H

#include "tools/replay/device_model.h"

/** Returns the recorded call that matches this one; NULL: it differs, and so will all later
 * ones. */
const struct script_call *script_step(struct device_context *context, enum script_kind kind,
                                      uint64_t bytes);

/** Returns the error of a call recorded only on failure; 0: it did not fail. */
int script_refusal(struct device_context *context, enum pool_refusal refusal);

/** Whether the driver had this many addresses for the pool, and where; true if nothing is known. */
bool script_range(const struct device_context *context, uint64_t bytes, uint64_t *ret_address);

/** Returns when all work submitted so far is done: not before the work of the last recorded
 * fence. */
uint64_t device_work_done_ns(const struct device_model *device);

#endif
