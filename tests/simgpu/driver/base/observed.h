/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of observer.h: passes events on. Callers look at `observed` first, so that an
 * event costs one load without an observer.
 */
#ifndef SIMGPU_DRIVER_BASE_OBSERVED_H
#define SIMGPU_DRIVER_BASE_OBSERVED_H

#include "tests/simgpu/driver/base/driver.h"
#include "tests/simgpu/driver/base/observer.h"

extern _Atomic bool observed;
/** The return address of the entry point this thread is in. */
extern __thread uint64_t observed_pc __attribute__((tls_model("initial-exec")));

/** Now. With driver_lock held. */
void observed_tell(const struct observer_event *event);

/** When the call has released driver_lock, which is held. */
void observed_tell_later(const struct observer_event *event);
void observed_tell_made(void);
extern __thread unsigned observed_waiting __attribute__((tls_model("initial-exec")));

/** Now, with driver_lock, which is held, released meanwhile: check the handles again. */
void observed_tell_before(const struct observer_event *event);

/** One observer; NULL takes it away. */
void observed_by(void (*function)(const struct observer_event *event));

#endif
