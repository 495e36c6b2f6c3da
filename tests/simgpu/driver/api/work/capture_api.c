/* SPDX-License-Identifier: MIT */
/*
 * Entry points of capture that have one type in all versions or the newest. Compiled twice (api.h).
 */
#include "tests/simgpu/driver/base/api.h"

#include "tests/simgpu/driver/work/capture_calls.h"

#define STREAM_LOG "stream=0x%llx", HEX(hStream)

CUresult CUDAAPI cuStreamBeginCapture(CUstream hStream, CUstreamCaptureMode mode)
{
    CALL(cuStreamBeginCapture, capture_begin(hStream, PER_THREAD, mode, NULL, NULL, 0), STREAM_LOG);
}

CUresult CUDAAPI cuStreamBeginCaptureToGraph(CUstream hStream, CUgraph hGraph,
                                             const CUgraphNode *dependencies,
                                             const CUgraphEdgeData *dependencyData,
                                             size_t numDependencies, CUstreamCaptureMode mode)
{
    CALL(cuStreamBeginCaptureToGraph,
         handle_is(hGraph, HANDLE_GRAPH)
             ? capture_begin(hStream, PER_THREAD, mode, hGraph, dependencies, numDependencies)
             : CUDA_ERROR_INVALID_VALUE,
         STREAM_LOG);
}

CUresult CUDAAPI cuStreamEndCapture(CUstream hStream, CUgraph *phGraph)
{
    CALL(cuStreamEndCapture, capture_finish(hStream, PER_THREAD, phGraph), STREAM_LOG);
}

CUresult CUDAAPI cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus *captureStatus)
{
    CALL(cuStreamIsCapturing, capture_status(hStream, PER_THREAD, captureStatus), STREAM_LOG);
}

CUresult CUDAAPI cuStreamGetCaptureInfo(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
                                        cuuint64_t *id_out, CUgraph *graph_out,
                                        const CUgraphNode **dependencies_out,
                                        const CUgraphEdgeData **edgeData_out,
                                        size_t *numDependencies_out)
{
    struct capture_info info = {captureStatus_out, id_out,       graph_out,
                                dependencies_out,  edgeData_out, numDependencies_out};

    CALL(cuStreamGetCaptureInfo, capture_info(hStream, PER_THREAD, info), STREAM_LOG);
}

CUresult CUDAAPI cuStreamUpdateCaptureDependencies(CUstream hStream, CUgraphNode *dependencies,
                                                   const CUgraphEdgeData *dependencyData,
                                                   size_t numDependencies, unsigned int flags)
{
    CALL(cuStreamUpdateCaptureDependencies,
         capture_update(hStream, PER_THREAD, dependencies, numDependencies, flags), STREAM_LOG);
}
