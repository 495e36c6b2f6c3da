/* SPDX-License-Identifier: MIT */
/*
 * The recorded device: what it answered, call by call, and how long it was busy.
 *
 * As long as a policy asks what the recorded pool asked, in its order, it gets the recorded
 * answers. When it asks anything else it has strayed, and the rest is the model's.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_DEVICE_SCRIPT_H
#define TOOLS_REPLAY_DEVICE_SCRIPT_H

#include "tools/replay/device_model.h"

/** The recorded call that this one is; NULL: it is another, and so will be what follows. */
const struct script_call *script_step(struct device_context *context, enum script_kind kind,
                                      uint64_t bytes);

/** The error of a call of which only failures are recorded; 0: it did not fail. */
int script_refusal(struct device_context *context, enum pool_refusal refusal);

/** Whether the driver had so many addresses for the pool, and where; true where nothing is known.
 */
bool script_range(const struct device_context *context, uint64_t bytes, uint64_t *ret_address);

/** When what was submitted up to now is done: not before the work of the last recorded fence. */
uint64_t device_work_done_ns(const struct device_model *device);

#endif
