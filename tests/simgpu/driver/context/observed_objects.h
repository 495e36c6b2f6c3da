/* SPDX-License-Identifier: MIT */
/*
 * Events of memory, contexts and streams for the observer. All run with driver_lock held.
 */
#ifndef SIMGPU_DRIVER_CONTEXT_OBSERVED_OBJECTS_H
#define SIMGPU_DRIVER_CONTEXT_OBSERVED_OBJECTS_H

#include "tests/simgpu/driver/base/observed.h"
#include "tests/simgpu/driver/context/context.h"

/** Of no stream. `name`: of a module's variable, or NULL. */
void observed_memory(enum observer_kind kind, const struct allocation *allocation,
                     const char *name);
/** In the order of a stream of `context`. */
void observed_ordered(enum observer_kind kind, const struct allocation *allocation,
                      CUcontext context, CUstream stream, uint64_t stream_id);

/** The observer is notified after the call has released driver_lock. `stream` NULL, id 0: of the
 *  context itself. */
void observed_made(enum observer_kind kind, CUcontext context, CUstream stream, uint64_t stream_id);
/** driver_lock is released meanwhile: check the handles again. */
void observed_ends(enum observer_kind kind, CUcontext context, CUstream stream, uint64_t stream_id);

#endif
