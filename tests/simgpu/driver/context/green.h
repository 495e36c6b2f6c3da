/* SPDX-License-Identifier: MIT */
/*
 * Green contexts: a share of a device's multiprocessors with its own streams, in the address
 * space of the device's primary context, which each retains. As a CUcontext one is an alias of the
 * primary context: current on a thread it stands for itself in cuCtxGetCurrent, cuCtxGetId and in
 * the streams made then, and for the primary context in everything else.
 */
#ifndef SIMGPU_DRIVER_CONTEXT_GREEN_H
#define SIMGPU_DRIVER_CONTEXT_GREEN_H

#include "tests/simgpu/driver/base/thread.h"
#include "tests/simgpu/driver/context/context.h"

struct CUgreenCtx_st {
    struct handle handle;
    struct device *device;
    CUcontext alias;
    CUdevSmResource sm;
    uint64_t id;
};

/** The green context that is current as an alias on this thread, or NULL. */
static inline CUgreenCtx green_current(void)
{
    CUcontext ctx = thread_context();

    return ctx ? ctx->green : NULL;
}

/** CUDA_ERROR_CONTEXT_IS_DESTROYED for the streams of one that is gone. NULL: no green context. */
static inline CUresult green_check(CUgreenCtx green)
{
    if (!green)
        return CUDA_SUCCESS;
    return handle_is(green, HANDLE_GREEN) ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

#endif
