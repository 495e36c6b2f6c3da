/* SPDX-License-Identifier: MIT */
/*
 * Guards around the pool's device operations.
 *
 * Threading: the operations from any thread, as pool/backend.h says.
 */
#ifndef SHIM_GUARD_BACKEND_H
#define SHIM_GUARD_BACKEND_H

#include "pool/backend.h"

/** Wraps the device operations of a context in the guards' own. */
void guard_backend_wrap(struct pool_backend *backend);

/**
 * Puts all open batches behind a fence of the inner backend; returns the number of the last one.
 * Where the fence is not recorded yet, they are sealed instead: *ret_sealed.
 */
uint64_t guard_batches_run(void *context, pool_fence fence, bool *ret_sealed);

/** Compares what is sealed, after the fence that was not recorded then has passed; returns the
 * number of the last batch that still runs, or 0. */
uint64_t guard_batches_run_sealed(void *context);

/** The device has been waited for: compares all open batches at once. */
void guard_batches_finish(void *context);

/** Forgets memory that goes back to the driver: anything may be written there, so it is not
 * checked again.
 */
void guard_memory_gone(void *context, uint64_t address, size_t bytes);

/** The driver turned out to have no fences: from now on every free waits. */
void guard_fences_missing(void *context);

#endif
