/* SPDX-License-Identifier: MIT */
/*
 * cudaProfiler.h: there is no profiler to switch on; programs that bracket their work with these
 * calls run.
 */
#include "tests/simgpu/driver/base/call.h"

/* This header, unlike cuda.h, does not say that its functions are exported. */
#pragma GCC visibility push(default)
#include <cudaProfiler.h>
#pragma GCC visibility pop

#include "tests/simgpu/driver/context/context.h"

static CUresult nothing_with_context(void)
{
    CUcontext ctx;

    return context_current(&ctx);
}

CUresult CUDAAPI cuProfilerStart(void)
{
    CALL(cuProfilerStart, nothing_with_context());
}

CUresult CUDAAPI cuProfilerStop(void)
{
    CALL(cuProfilerStop, nothing_with_context());
}
