/* SPDX-License-Identifier: MIT */
/*
 * Bodies of the stream and event calls, for stream_api.c.
 */
#ifndef SIMGPU_DRIVER_API_WORK_STREAM_CALLS_H
#define SIMGPU_DRIVER_API_WORK_STREAM_CALLS_H

#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/stream.h"

CUresult stream_synchronize(CUstream given, bool per_thread);
CUresult stream_query(CUstream given, bool per_thread);
CUresult stream_record(CUevent event, CUstream given, bool per_thread, unsigned flags);
CUresult stream_wait_given(CUstream given, bool per_thread, CUevent event, unsigned flags);
CUresult stream_host_call(CUstream given, bool per_thread, CUhostFn function,
                          CUstreamCallback callback, void *data);
CUresult stream_value(CUstream given, bool per_thread, CUdeviceptr address, uint64_t value,
                      unsigned bytes, unsigned flags, bool wait);

enum stream_property {
    STREAM_PROPERTY_PRIORITY,
    STREAM_PROPERTY_FLAGS,
    STREAM_PROPERTY_ID,
    STREAM_PROPERTY_DEVICE,
};
/** As an integer of the target's type at `ret`. */
CUresult stream_property(CUstream given, bool per_thread, enum stream_property property, void *ret);
CUresult stream_context(CUstream given, bool per_thread, CUcontext *ret, CUgreenCtx *ret_green);

#endif
