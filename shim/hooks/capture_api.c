/* SPDX-License-Identifier: MIT */
/*
 * The hooks around stream capture. They act at any depth, because the runtime's captures also come
 * through here. They keep the list of captures. Before one begins, a fence is recorded for the work
 * that is there already; after one has ended, the fences that could not be recorded meanwhile are:
 * later they would cover work that begins from now on.
 */
#include "shim/hooks/call.h"

#include <errno.h>

#include "cupti/base/uncancelled.h"
#include "shim/backend/backend_driver.h"
#include "shim/backend/ordered_free.h"
#include "shim/context/capture.h"

#define PLAIN      false /* stream 0 is the legacy default stream */
#define PER_THREAD true  /* stream 0 is the thread's own */

static void begins(void)
{
    int saved_errno = errno;

    if (shim_mode() == SHIM_POOL)
        backend_driver_captures_begin();
    errno = saved_errno;
}

#define BEGIN_BODY(name, per_thread, mode, ...)                                                    \
    const struct driver_functions *real = real_driver();                                           \
    if (!real || !real->name)                                                                      \
        return MISSING_DRIVER;                                                                     \
    if (shim_mode() == SHIM_OFF)                                                                   \
        return real->name(__VA_ARGS__);                                                            \
    UNCANCELLED;                                                                                   \
    begins();                                                                                      \
    uint64_t begun = capture_begin(stream, per_thread, mode);                                      \
    CUresult result = real->name(__VA_ARGS__);                                                     \
    if (result != CUDA_SUCCESS)                                                                    \
        capture_undo(begun);                                                                       \
    return result;

CUresult cuStreamBeginCapture(CUstream stream)
{
    BEGIN_BODY(cuStreamBeginCapture, PLAIN, CU_STREAM_CAPTURE_MODE_GLOBAL, stream);
}

CUresult cuStreamBeginCapture_ptsz(CUstream stream)
{
    BEGIN_BODY(cuStreamBeginCapture_ptsz, PER_THREAD, CU_STREAM_CAPTURE_MODE_GLOBAL, stream);
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    BEGIN_BODY(cuStreamBeginCapture_v2, PLAIN, mode, stream, mode);
}

CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode)
{
    BEGIN_BODY(cuStreamBeginCapture_v2_ptsz, PER_THREAD, mode, stream, mode);
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph,
                                     const CUgraphNode *dependencies,
                                     const CUgraphEdgeData *dependencyData, size_t numDependencies,
                                     CUstreamCaptureMode mode)
{
    BEGIN_BODY(cuStreamBeginCaptureToGraph, PLAIN, mode, stream, graph, dependencies,
               dependencyData, numDependencies, mode);
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph,
                                          const CUgraphNode *dependencies,
                                          const CUgraphEdgeData *dependencyData,
                                          size_t numDependencies, CUstreamCaptureMode mode)
{
    BEGIN_BODY(cuStreamBeginCaptureToGraph_ptsz, PER_THREAD, mode, stream, graph, dependencies,
               dependencyData, numDependencies, mode);
}

static void ended(CUstream stream, bool per_thread)
{
    int saved_errno = errno;
    bool active = capture_is_active();

    capture_end(stream, per_thread);
    if (active && shim_mode() == SHIM_POOL) {
        backend_driver_captures_ended();
        ordered_free_return(ORDERED_FREE_ANYWHERE);
    }
    errno = saved_errno;
}

/* An invalidated capture also ends here, with an error. */
static CUresult end(__typeof__(cuStreamEndCapture) *real, CUstream stream, CUgraph *graph,
                    bool per_thread)
{
    if (!real)
        return MISSING_DRIVER;
    UNCANCELLED;
    CUresult result = real(stream, graph);
    /* Refused because another thread began the capture: it continues. */
    if (result != CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD)
        ended(stream, per_thread);
    return result;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    const struct driver_functions *real = real_driver();

    return end(real ? real->cuStreamEndCapture : NULL, stream, graph, PLAIN);
}

CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph)
{
    const struct driver_functions *real = real_driver();

    return end(real ? real->cuStreamEndCapture_ptsz : NULL, stream, graph, PER_THREAD);
}

/* Destroying a stream that captures ends the capture. */
static CUresult destroy(__typeof__(cuStreamDestroy_v2) *real, CUstream stream)
{
    if (!real)
        return MISSING_DRIVER;
    UNCANCELLED;
    CUresult result = real(stream);
    if (result == CUDA_SUCCESS)
        ended(stream, PLAIN);
    return result;
}

CUresult cuStreamDestroy(CUstream stream)
{
    const struct driver_functions *real = real_driver();

    return destroy(real ? real->cuStreamDestroy : NULL, stream);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    const struct driver_functions *real = real_driver();

    return destroy(real ? real->cuStreamDestroy_v2 : NULL, stream);
}
