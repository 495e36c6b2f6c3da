/* SPDX-License-Identifier: MIT */
/*
 * Entry points of events, and recording and waiting in a stream.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/api/memory/ipc.h"
#include "tests/simgpu/driver/api/work/stream_calls.h"
#include "tests/simgpu/driver/memory/pool.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/work.h"

static CUresult create(CUevent *ret, unsigned flags)
{
    const unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    CUcontext ctx;

    if (!ret || flags & ~known)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CU_EVENT_INTERPROCESS && !(flags & CU_EVENT_DISABLE_TIMING))
        return CUDA_ERROR_INVALID_VALUE;
    CUevent made;
    CUresult result = context_current(&ctx);
    if (result == CUDA_SUCCESS)
        result = event_create(ctx, flags, &made);
    if (result == CUDA_SUCCESS && flags & CU_EVENT_INTERPROCESS) {
        result = ipc_share_event(made);
        if (result != CUDA_SUCCESS)
            event_unref(made);
    }
    if (result == CUDA_SUCCESS)
        *ret = made;
    return result;
}

static CUresult destroy(CUevent event)
{
    if (!handle_is(event, HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    event->handle.magic = HANDLE_FREE;
    event_unref(event);
    return CUDA_SUCCESS;
}

/* No lock unless something captures: programs poll. */
static CUresult query(CUevent event)
{
    if (!handle_is(event, HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (capture_any() || event->capture_id) {
        CUresult refused = CALL_LOCKED(capture_check_event_query(event));

        if (refused != CUDA_SUCCESS)
            return refused;
    }
    CUresult broken = event->ctx->sticky;
    if (broken != CUDA_SUCCESS)
        return broken;
    return event_is_complete(event) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

static CUresult synchronize(CUevent event)
{
    if (!handle_is(event, HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = capture_check_event_query(event);
    if (result != CUDA_SUCCESS)
        return result;
    CUcontext ctx = event->ctx;
    struct point point = {&event->state->completed, event->state->recorded, NULL};
    event_ref(event);
    point_wait(&point, event->remote);
    event_unref(event);
    pools_trim_at_sync(ctx->device);
    return ctx->sticky;
}

static CUresult elapsed(float *ret, CUevent start, CUevent end)
{
    if (!handle_is(start, HANDLE_EVENT) || !handle_is(end, HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if ((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING || !start->state->recorded ||
        !end->state->recorded)
        return CUDA_ERROR_INVALID_HANDLE;
    if (start->capture_id || end->capture_id)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!event_is_complete(start) || !event_is_complete(end))
        return CUDA_ERROR_NOT_READY;
    *ret = (float)((double)(int64_t)(end->state->time_ns - start->state->time_ns) / 1e6);
    return CUDA_SUCCESS;
}

CUresult stream_record(CUevent event, CUstream given, bool per_thread, unsigned flags)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if (flags & ~(unsigned)CU_EVENT_RECORD_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(event, HANDLE_EVENT) || event->ctx != stream->ctx)
        return CUDA_ERROR_INVALID_HANDLE;
    result = stream_check_capture(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->capture)
        return capture_record(stream, event, flags & CU_EVENT_RECORD_EXTERNAL);
    return event_record(event, stream);
}

CUresult stream_wait_given(CUstream given, bool per_thread, CUevent event, unsigned flags)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if (flags & ~(unsigned)CU_EVENT_WAIT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(event, HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    result = stream_check_capture(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->capture || event->capture_id)
        return capture_wait(stream, event, flags & CU_EVENT_WAIT_EXTERNAL);
    return stream_wait_event(stream, event);
}

CUresult CUDAAPI cuEventCreate(CUevent *phEvent, unsigned int Flags)
{
    CALL(cuEventCreate, create(phEvent, Flags), "event=0x%llx\tflags=%u", HEX(OUT(phEvent)), Flags);
}

CUresult CUDAAPI cuEventDestroy_v2(CUevent hEvent)
{
    CALL(cuEventDestroy_v2, destroy(hEvent), "event=0x%llx", HEX(hEvent));
}

CUresult CUDAAPI cuEventDestroy(CUevent hEvent)
{
    CALL(cuEventDestroy, destroy(hEvent), "event=0x%llx", HEX(hEvent));
}

CUresult CUDAAPI cuEventQuery(CUevent hEvent)
{
    CALL_UNLOCKED(cuEventQuery, query(hEvent), "event=0x%llx", HEX(hEvent));
}

CUresult CUDAAPI cuEventSynchronize(CUevent hEvent)
{
    CALL(cuEventSynchronize, synchronize(hEvent), "event=0x%llx", HEX(hEvent));
}

CUresult CUDAAPI cuEventElapsedTime(float *pMilliseconds, CUevent hStart, CUevent hEnd)
{
    CALL(cuEventElapsedTime, elapsed(pMilliseconds, hStart, hEnd));
}

CUresult CUDAAPI cuEventElapsedTime_v2(float *pMilliseconds, CUevent hStart, CUevent hEnd)
{
    CALL(cuEventElapsedTime_v2, elapsed(pMilliseconds, hStart, hEnd));
}
