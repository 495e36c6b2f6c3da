/* SPDX-License-Identifier: MIT */
/*
 * Shared by the parts of the simulated CUPTI: whether the library is attached to the driver, the
 * version it claims, and its injected faults.
 *
 * Records have the layout of the version claimed: CUpti_ActivityMemory4 and MemoryPool3 from 13.0
 * on, Memory3 and MemoryPool2 before.
 *
 * Threading: every function from any thread. Locks are taken in the order driver, delivery, queue
 * (buffers.c); callbacks of the client run with the delivery lock at most.
 */
#ifndef SIMGPU_CUPTI_STATE_H
#define SIMGPU_CUPTI_STATE_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(default)
#include <cupti.h>
#pragma GCC visibility pop

#include "tests/simgpu/driver/base/observer.h"

/** Version numbers of cupti_version.h. */
#define CUPTI_VERSION_12_8 26
#define CUPTI_VERSION_13_0 130000

/** Reads the environment once. CUPTI_SUCCESS when `function` may go on in this process. */
CUptiResult state_enter(const char *function);

/** The driver is loaded and reports events. */
CUptiResult state_attach(void);
/** No more events, nothing enabled, no subscriber. */
void state_detach(void);
/** NULL before state_attach. */
const struct observer_table *state_driver(void);

uint32_t state_version(void);

/** The parts an event of the driver goes to. */
void callbacks_tell(const struct observer_event *event);
void callbacks_drop(void);
void records_add(const struct observer_event *event);
void activity_drop(void);

/** Room in the current buffer, copied in; counted as dropped when there is none. */
void buffers_add(const void *record, size_t bytes);
CUptiResult buffers_register(CUpti_BuffersCallbackRequestFunc requested,
                             CUpti_BuffersCallbackCompleteFunc completed);
bool buffers_registered(void);
/** Returns the buffers, that in use too. */
void buffers_flush(void);
size_t buffers_dropped_take(void);
void buffers_drop(void);

#endif
