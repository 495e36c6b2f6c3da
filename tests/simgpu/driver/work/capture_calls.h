/* SPDX-License-Identifier: MIT */
/*
 * Bodies of the capture calls, for capture_api.c.
 */
#ifndef SIMGPU_DRIVER_WORK_CAPTURE_CALLS_H
#define SIMGPU_DRIVER_WORK_CAPTURE_CALLS_H

#include "tests/simgpu/driver/work/stream.h"

/** What cuStreamGetCaptureInfo returns; all but `status` may be NULL. */
struct capture_info {
    CUstreamCaptureStatus *status;
    cuuint64_t *id;
    CUgraph *graph;
    const CUgraphNode **deps;
    const CUgraphEdgeData **edges;
    size_t *dep_count;
};

/** `graph` NULL: a new one. */
CUresult capture_begin(CUstream given, bool per_thread, CUstreamCaptureMode mode, CUgraph graph,
                       const CUgraphNode *deps, size_t dep_count);
CUresult capture_finish(CUstream given, bool per_thread, CUgraph *ret);
CUresult capture_status(CUstream given, bool per_thread, CUstreamCaptureStatus *ret);
CUresult capture_info(CUstream given, bool per_thread, struct capture_info info);
CUresult capture_update(CUstream given, bool per_thread, CUgraphNode *deps, size_t count,
                        unsigned flags);

#endif
