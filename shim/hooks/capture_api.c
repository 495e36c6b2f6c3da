/* SPDX-License-Identifier: MIT */
/*
 * The hooks around stream capture. They act at any depth, because the runtime's captures also come
 * through here. They change nothing but the list of captures.
 */
#include "shim/hooks/call.h"
#include "shim/context/capture.h"

#define PLAIN      false /* stream 0 is the legacy default stream */
#define PER_THREAD true  /* stream 0 is the thread's own */

#define BEGIN_BODY(name, per_thread, mode, ...)                                                    \
    const struct driver_functions *real = real_driver();                                           \
    if (!real || !real->name)                                                                      \
        return MISSING_DRIVER;                                                                     \
    if (shim_mode() == SHIM_OFF)                                                                   \
        return real->name(__VA_ARGS__);                                                            \
    capture_begin(stream, per_thread, mode);                                                       \
    CUresult result = real->name(__VA_ARGS__);                                                     \
    if (result != CUDA_SUCCESS)                                                                    \
        capture_end(stream, per_thread);                                                           \
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

/* An invalidated capture also ends here, with an error. */
static CUresult end(__typeof__(cuStreamEndCapture) *real, CUstream stream, CUgraph *graph,
                    bool per_thread)
{
    if (!real)
        return MISSING_DRIVER;
    CUresult result = real(stream, graph);
    /* Refused because another thread began the capture: it continues. */
    if (result != CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD)
        capture_end(stream, per_thread);
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
    CUresult result = real(stream);
    if (result == CUDA_SUCCESS)
        capture_end(stream, PLAIN);
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
