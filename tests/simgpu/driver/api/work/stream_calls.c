/* SPDX-License-Identifier: MIT */
/*
 * Operations on streams, and the entry points without a per-thread twin: creating and destroying
 * streams, and all event functions except recording.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/api/work/stream_calls.h"
#include "tests/simgpu/driver/context/green.h"
#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/driver/memory/host_memory.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/work.h"
#include "tests/simgpu/simgpu.h"

#include "tests/simgpu/driver/memory/pool.h"

static CUresult create(CUstream *ret, unsigned flags, int priority)
{
    CUcontext ctx;

    if (!ret || flags & ~(unsigned)CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = context_current(&ctx);
    priority = priority < -5 ? -5 : priority > 0 ? 0 : priority;
    if (result == CUDA_SUCCESS)
        result = stream_create(ctx, STREAM_USER, flags, priority, ret);
    if (result == CUDA_SUCCESS)
        observed_made(OBSERVER_STREAM_CREATED, ctx, *ret, (*ret)->id);
    return result;
}

static bool is_made_by_program(CUstream stream)
{
    return handle_is(stream, HANDLE_STREAM) && stream->kind == STREAM_USER;
}

static CUresult destroy(CUstream stream)
{
    if (!is_made_by_program(stream))
        return CUDA_ERROR_INVALID_HANDLE;
    observed_ends(OBSERVER_STREAM_ENDS, stream->ctx, stream, stream->id);
    if (stream->capture)
        capture_stream_destroyed(stream);
    stream_destroy(stream);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamCreate(CUstream *phStream, unsigned int Flags)
{
    CALL(cuStreamCreate, create(phStream, Flags, 0), "stream=0x%llx\tflags=%u", HEX(OUT(phStream)),
         Flags);
}

CUresult CUDAAPI cuStreamCreateWithPriority(CUstream *phStream, unsigned int flags, int priority)
{
    CALL(cuStreamCreateWithPriority, create(phStream, flags, priority),
         "stream=0x%llx\tflags=%u\tpriority=%d", HEX(OUT(phStream)), flags, priority);
}

CUresult CUDAAPI cuStreamDestroy_v2(CUstream hStream)
{
    CALL(cuStreamDestroy_v2, destroy(hStream), "stream=0x%llx", HEX(hStream));
}

CUresult CUDAAPI cuStreamDestroy(CUstream hStream)
{
    CALL(cuStreamDestroy, destroy(hStream), "stream=0x%llx", HEX(hStream));
}

CUresult stream_synchronize(CUstream given, bool per_thread)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS)
        result = capture_check_stream(stream);
    if (result != CUDA_SUCCESS)
        return result;
    CUcontext ctx = stream->ctx;
    /* The legacy stream stands for what it would wait for, too. */
    if (stream->kind == STREAM_LEGACY) {
        struct work *barrier = work_create(WORK_EMPTY);

        return barrier ? stream_submit(stream, barrier, true) : CUDA_ERROR_OUT_OF_MEMORY;
    }
    stream_wait(stream);
    pools_trim_at_sync(ctx->device);
    return ctx->sticky;
}

static bool legacy_is_idle(CUstream legacy)
{
    CUstream each;

    LIST_FOREACH(each, &legacy->ctx->streams, link)
        if (stream_is_blocking(each) && !stream_is_idle(each))
            return false;
    return stream_is_idle(legacy);
}

CUresult stream_query(CUstream given, bool per_thread)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS)
        result = capture_check_stream(stream);
    if (result != CUDA_SUCCESS)
        return result;
    bool idle = stream->kind == STREAM_LEGACY ? legacy_is_idle(stream) : stream_is_idle(stream);
    return idle ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult stream_property(CUstream given, bool per_thread, enum stream_property property, void *ret)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    switch (property) {
    case STREAM_PROPERTY_PRIORITY: *(int *)ret = stream->priority; break;
    case STREAM_PROPERTY_FLAGS: *(unsigned *)ret = stream->flags; break;
    case STREAM_PROPERTY_ID: *(unsigned long long *)ret = stream->id; break;
    case STREAM_PROPERTY_DEVICE: *(CUdevice *)ret = stream->ctx->device->ordinal; break;
    }
    return CUDA_SUCCESS;
}

CUresult stream_context(CUstream given, bool per_thread, CUcontext *ret, CUgreenCtx *ret_green)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = stream->ctx;
    if (ret_green)
        *ret_green = given && given != CU_STREAM_LEGACY ? stream->green : green_current();
    return CUDA_SUCCESS;
}

CUresult stream_host_call(CUstream given, bool per_thread, CUhostFn function,
                          CUstreamCallback callback, void *data)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if (!function && !callback)
        return CUDA_ERROR_INVALID_VALUE;
    if (callback && stream->capture)
        return capture_refuse(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    struct work *work = work_create(callback ? WORK_CALLBACK : WORK_HOST);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->host.function = function;
    work->host.callback = callback;
    work->host.stream = given;
    work->host.data = data;
    return stream_submit(stream, work, false);
}

CUresult stream_value(CUstream given, bool per_thread, CUdeviceptr address, uint64_t value,
                      unsigned bytes, unsigned flags, bool wait)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result != CUDA_SUCCESS)
        return result;
    if (address % bytes || (!memory_covers(address, bytes) && !host_memory_find(address)))
        return CUDA_ERROR_INVALID_VALUE;
    struct work *work = work_create(wait ? WORK_WAIT_VALUE : WORK_WRITE_VALUE);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->value.address = address;
    work->value.value = value;
    work->value.bytes = bytes;
    work->value.flags = flags;
    return stream_submit(stream, work, false);
}

int simgpu_hold(struct CUstream_st *given)
{
    CUstream stream;

    pthread_mutex_lock(&driver_lock);
    CUresult result = stream_resolve(given, false, &stream);
    if (result == CUDA_SUCCESS)
        stream->held++;
    pthread_mutex_unlock(&driver_lock);
    return (int)result;
}

int simgpu_release(struct CUstream_st *given)
{
    CUstream stream;

    pthread_mutex_lock(&driver_lock);
    CUresult result = stream_resolve(given, false, &stream);
    if (result == CUDA_SUCCESS && !stream->held)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS && !--stream->held && stream->has_worker)
        pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&driver_lock);
    return (int)result;
}
