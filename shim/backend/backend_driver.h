/* SPDX-License-Identifier: MIT */
/*
 * The pool's device operations: the real driver, in one context.
 *
 * Threading: the operations from any thread, as backend.h says.
 */
#ifndef SHIM_BACKEND_BACKEND_DRIVER_H
#define SHIM_BACKEND_BACKEND_DRIVER_H

#include <stdbool.h>

#include "pool/backend.h"
#include "shim/context/context.h"

/** Fills the operations; the context is their state and must outlive the pool. */
void backend_driver_init(struct pool_backend *backend, struct context *context);

/** True when the driver can record an event behind all work of a context. */
bool backend_driver_has_fences(const struct driver_functions *driver);

/** Waits until no work of a context uses memory that is about to be released, as a free by the
 * driver does; also while a stream captures. */
void backend_driver_wait(struct context *context);

/** True when a free by the driver would find no work of the known contexts to wait for; an event
 * takes a moment to say so. */
bool backend_driver_idle_await(struct context *context, uint64_t most_ns);

/** Records, before the first capture begins, a fence for the work that is there already. */
void backend_driver_captures_begin(void);

/** Records the fences that a capture kept from being recorded, when there is none any more. */
void backend_driver_captures_ended(void);

/** Makes a stream of the current context wait for all work that a fence covers. False: not
 * possible. */
bool backend_driver_fence_order(pool_fence fence, CUstream stream);

/** Forgets what was recorded for a context that ended. */
void backend_driver_forget(struct context *context);

#endif
