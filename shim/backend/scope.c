/* SPDX-License-Identifier: MIT */
/*
 * Changes only what the thread does not already have as the call needs it.
 */
#include "shim/backend/scope.h"

#include <errno.h>

#include "shim/context/capture.h"

void scope_leave(struct scope *scope)
{
    CUcontext popped;

    if (scope->exchanged)
        capture_mode_restore(scope->driver, scope->mode);
    if (scope->pushed)
        (void)REAL_ASK(scope->driver->cuCtxPopCurrent_v2(&popped));
}

int scope_enter(struct scope *scope, const struct context *context)
{
    CUcontext current = NULL;

    *scope = (struct scope){.driver = real_driver_if_loaded()};
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
