/* SPDX-License-Identifier: MIT */
/*
 * Stream capture: calls permitted during a capture, and how submitted work becomes nodes
 * of a graph. A capture belongs to the thread that began it; streams join it by waiting for an
 * event recorded inside. Once invalid it stays so until its origin ends it.
 */
#ifndef SIMGPU_DRIVER_WORK_CAPTURE_H
#define SIMGPU_DRIVER_WORK_CAPTURE_H

#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/stream.h"

struct capture {
    LIST_ENTRY(capture) link;
    uint64_t id;
    CUstreamCaptureMode mode;
    uint64_t thread_id;
    CUcontext ctx;
    CUstream origin;
    CUgraph graph;
    bool owns_graph; /* not when it captures to a graph that was given */
    bool invalid;
};

/** Is any capture active that forbids calls to somebody? No lock. */
bool capture_any(void);

/** May the calling thread do what could break a capture? If not, invalidates those in its way. */
CUresult capture_check_unsafe(void);
/** Likewise, with the current context of a call that needs one. */
CUresult capture_enter_unsafe(CUcontext *ret_ctx);
/** Nothing of this context captures; else refuses, and invalidates. */
CUresult capture_check_context(CUcontext ctx);
/** The stream may be synchronised with or queried. */
CUresult capture_check_stream(CUstream stream);
/** The event was not last recorded in a capture that goes on. */
CUresult capture_check_event(CUevent event);
/** The event may be queried or waited for by the host. */
CUresult capture_check_event_query(CUevent event);
/** The legacy stream is used while a blocking stream captures: refuse, if one does. */
CUresult capture_refuse_legacy(CUcontext ctx);
/** Invalidate the capture that the stream takes part in, and return the error. */
CUresult capture_refuse(CUstream stream, CUresult error);

/** Add work, a record or a wait of a capturing stream. */
CUresult capture_add(CUstream stream, struct work *work);
CUresult capture_add_node(CUstream stream, struct work *work, CUgraphNode *ret);
CUresult capture_record(CUstream stream, CUevent event, bool external);
CUresult capture_wait(CUstream stream, CUevent event, bool external);

void capture_stream_destroyed(CUstream stream);
void captures_drop(CUcontext ctx);

#endif
