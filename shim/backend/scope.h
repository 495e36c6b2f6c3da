/* SPDX-License-Identifier: MIT */
/*
 * What every call of our own to the driver is wrapped in: the context is current, and the thread's
 * capture mode is relaxed, for the call concerns no stream of the program.
 *
 * Threading: a scope belongs to the thread that entered it.
 */
#ifndef SHIM_BACKEND_SCOPE_H
#define SHIM_BACKEND_SCOPE_H

#include "shim/context/context.h"

/** What an operation changed on its thread and has to put back. */
struct scope {
    const struct driver_functions *driver;
    bool pushed;
    bool exchanged;
    CUstreamCaptureMode mode;
};

/** -EIO: the context is gone, or cannot be made current. */
int scope_enter(struct scope *scope, const struct context *context);
void scope_leave(struct scope *scope);

/** The backend's error for a result of the driver; notes a sticky one for the current context. */
int scope_error(CUresult result);

#endif
