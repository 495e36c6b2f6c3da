/* SPDX-License-Identifier: MIT */
/*
 * Changes only what the thread does not already have as the call needs it.
 */
#include "shim/backend/scope.h"

#include <errno.h>

#include "shim/context/capture.h"
#include "shim/context/gate.h"

void scope_leave(struct scope *scope)
{
    CUcontext popped;

    if (scope->exchanged)
        capture_mode_restore(scope->driver, scope->mode);
    if (scope->pushed)
        (void)REAL_ASK(scope->driver->cuCtxPopCurrent_v2(&popped));
}

int scope_enter(struct scope *scope, struct context *context)
{
    CUcontext current = NULL;

    *scope = (struct scope){.driver = real_driver_if_loaded(), .context = context};
    if (thread_state.depth)
        thread_cancel_hold();
    enum context_life life = context_life(context);
    if (!scope->driver || life != CONTEXT_LIVES)
        return life == CONTEXT_ENDS ? -EPERM : -EIO;
    if (REAL_ASK(scope->driver->cuCtxGetCurrent(&current)) != CUDA_SUCCESS)
        return -EIO;
    if (current != context->handle) {
        if (REAL_ASK(scope->driver->cuCtxPushCurrent_v2(context->handle)) != CUDA_SUCCESS)
            return -EIO;
        scope->pushed = true;
    }
    scope->exchanged = capture_mode_relax(scope->driver, &scope->mode);
    return 0;
}

static void pin(const struct scope *scope, struct context *own, int change)
{
    atomic_fetch_add(&own->waiting, change);
    if (scope->context != own)
        atomic_fetch_add(&scope->context->waiting, change);
}

void scope_step_out(struct scope *scope, struct context *own)
{
    pin(scope, own, 1);
    scope->pinned = gate_step_out() ? own : NULL;
    if (!scope->pinned)
        pin(scope, own, -1);
}

void scope_step_in(struct scope *scope)
{
    if (!scope->pinned)
        return;
    gate_enter();
    pin(scope, scope->pinned, -1);
}

int scope_error(CUresult result)
{
    switch (result) {
    case CUDA_SUCCESS: return 0;
    case CUDA_ERROR_OUT_OF_MEMORY: return -ENOMEM;
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED:
    case CUDA_ERROR_STREAM_CAPTURE_IMPLICIT: return -EPERM;
    case CUDA_ERROR_NOT_SUPPORTED: return -ENOTSUP;
    default: context_observe_own(result); return -EIO;
    }
}
