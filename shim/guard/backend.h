/* SPDX-License-Identifier: MIT */
/*
 * Guards around the pool's device operations.
 *
 * Threading: the operations from any thread, as pool/backend.h says.
 */
#ifndef SHIM_GUARD_BACKEND_H
#define SHIM_GUARD_BACKEND_H

#include "pool/backend.h"

/** Puts the guards' operations in place of those that the device of a context keeps. */
void guard_backend_wrap(struct pool_backend *backend);

/** Puts all open batches behind a fence of the inner backend; the number of the last one. */
uint64_t guard_batches_run(void *context, pool_fence fence);

/** The device has been waited for: compares all open batches at once. */
void guard_batches_finish(void *context);

/** Memory goes back to the driver, which may put anything there: nothing in it is looked at again.
 */
void guard_memory_gone(void *context, uint64_t address, size_t bytes);

/** The driver has no fences after all: every free waits from now on. */
void guard_fences_missing(void *context);

#endif
