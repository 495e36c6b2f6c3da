/* SPDX-License-Identifier: MIT */
/*
 * Wraps our own driver calls: makes the context current and relaxes the thread's capture mode,
 * because these calls touch no stream of the program.
 *
 * Threading: a scope belongs to the thread that entered it.
 */
#ifndef SHIM_BACKEND_SCOPE_H
#define SHIM_BACKEND_SCOPE_H

#include "shim/context/context.h"

/** Thread state that an operation changed and must restore. */
struct scope {
    const struct driver_functions *driver;
    bool pushed;
    bool exchanged;
    CUstreamCaptureMode mode;
    struct context *context;
    struct context *pinned; /* whose pool waits, outside the gate; NULL: inside */
};

/** -EIO: the context is gone, or cannot be made current; -EPERM: its end is under way. */
int scope_enter(struct scope *scope, struct context *context);
void scope_leave(struct scope *scope);

/** Around a call that may wait without an end for device work, for the pool of `own`: who ends
 * another context does not wait for this thread. The caller holds no lock of a pool, because others
 * may wait for it where the gate has to be left. */
void scope_step_out(struct scope *scope, struct context *own);
void scope_step_in(struct scope *scope);

/** Converts a driver result to a backend error; notes a sticky error for the current context. */
int scope_error(CUresult result);

#endif
