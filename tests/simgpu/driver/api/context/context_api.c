/* SPDX-License-Identifier: MIT */
/*
 * The context calls. Each thread has a stack of contexts, which only that thread changes; so the
 * calls that only look at it take no lock.
 */
#include "tests/simgpu/driver/base/call.h"

#include <string.h>

#include "tests/simgpu/driver/api/context/context_life.h"
#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/driver/memory/pool.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/stream.h"
#include "tests/simgpu/driver/work/work.h"

/* The stack. */

static CUresult stack_push(CUcontext ctx)
{
    struct thread *self = thread_self();

    if (self->depth == THREAD_CONTEXTS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    self->stack[self->depth++] = ctx;
    return CUDA_SUCCESS;
}

static CUresult push_current(CUcontext ctx)
{
    CUresult result = context_check(ctx);

    return result == CUDA_SUCCESS ? stack_push(ctx) : result;
}

static CUresult pop_current(CUcontext *ret)
{
    struct thread *self = thread_self();

    if (!self->depth)
        return CUDA_ERROR_INVALID_CONTEXT;
    self->depth--;
    if (ret)
        *ret = self->stack[self->depth];
    return CUDA_SUCCESS;
}

static CUresult set_current(CUcontext ctx)
{
    struct thread *self = thread_self();

    if (!ctx) {
        if (self->depth)
            self->depth--;
        return CUDA_SUCCESS;
    }
    if ((uintptr_t)ctx < 4096 || ctx->handle.magic == HANDLE_FREE || !ctx->alive)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!self->depth)
        return stack_push(ctx);
    self->stack[self->depth - 1] = ctx;
    return CUDA_SUCCESS;
}

static CUresult get_current(CUcontext *ret)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = thread_context();
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxPushCurrent_v2(CUcontext ctx)
{
    CALL(cuCtxPushCurrent_v2, push_current(ctx), "ctx=0x%llx", HEX(ctx));
}

CUresult CUDAAPI cuCtxPushCurrent(CUcontext ctx)
{
    CALL(cuCtxPushCurrent, push_current(ctx), "ctx=0x%llx", HEX(ctx));
}

CUresult CUDAAPI cuCtxPopCurrent_v2(CUcontext *pctx)
{
    CALL_UNLOCKED(cuCtxPopCurrent_v2, pop_current(pctx));
}

CUresult CUDAAPI cuCtxPopCurrent(CUcontext *pctx)
{
    CALL_UNLOCKED(cuCtxPopCurrent, pop_current(pctx));
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext ctx)
{
    CALL_UNLOCKED(cuCtxSetCurrent, set_current(ctx), "ctx=0x%llx", HEX(ctx));
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext *pctx)
{
    CALL_UNLOCKED(cuCtxGetCurrent, get_current(pctx));
}

/* Life. */

#define CONTEXT_FLAGS                                                                              \
    (CU_CTX_SCHED_MASK | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX | CU_CTX_COREDUMP_ENABLE |    \
     CU_CTX_USER_COREDUMP_ENABLE | CU_CTX_SYNC_MEMOPS)

static CUresult create(CUcontext *ret, unsigned flags, CUdevice ordinal)
{
    struct device *device = device_get(ordinal);
    CUcontext ctx;

    if (!ret || flags & ~CONTEXT_FLAGS)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    CUresult result = capture_check_unsafe();
    if (result == CUDA_SUCCESS)
        result = context_create(device, flags, &ctx);
    if (result != CUDA_SUCCESS)
        return result;
    *ret = ctx;
    return stack_push(ctx);
}

static bool is_made_by_program(CUcontext ctx)
{
    return handle_is(ctx, HANDLE_CONTEXT) && ctx->alive && !ctx->primary && !ctx->green;
}

static CUresult destroy(CUcontext ctx)
{
    struct thread *self = thread_self();

    if (!is_made_by_program(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    observed_ends(OBSERVER_CONTEXT_ENDS, ctx, NULL, 0);
    if (thread_context() == ctx)
        self->depth--;
    context_destroy(ctx);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxCreate_v2(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
    CALL(cuCtxCreate_v2, create(pctx, flags, dev), "ctx=0x%llx", HEX(OUT(pctx)));
}

CUresult CUDAAPI cuCtxCreate_v3(CUcontext *pctx, CUexecAffinityParam *paramsArray, int numParams,
                                unsigned int flags, CUdevice dev)
{
    CALL(cuCtxCreate_v3,
         numParams ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : create(pctx, flags, dev), "ctx=0x%llx",
         HEX(OUT(pctx)));
}

CUresult CUDAAPI cuCtxCreate_v4(CUcontext *pctx, CUctxCreateParams *ctxCreateParams,
                                unsigned int flags, CUdevice dev)
{
    CALL(cuCtxCreate_v4,
         ctxCreateParams && (ctxCreateParams->numExecAffinityParams || ctxCreateParams->cigParams)
             ? CUDA_ERROR_NOT_SUPPORTED
             : create(pctx, flags, dev),
         "ctx=0x%llx", HEX(OUT(pctx)));
}

CUresult CUDAAPI cuCtxDestroy_v2(CUcontext ctx)
{
    CALL(cuCtxDestroy_v2, destroy(ctx), "ctx=0x%llx", HEX(ctx));
}

CUresult CUDAAPI cuCtxDestroy(CUcontext ctx)
{
    CALL(cuCtxDestroy, destroy(ctx), "ctx=0x%llx", HEX(ctx));
}

static CUresult attach(CUcontext *ret, unsigned flags)
{
    CUcontext ctx = thread_context();

    if (!ret || flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_made_by_program(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    ctx->attached++;
    *ret = ctx;
    return CUDA_SUCCESS;
}

static CUresult detach(CUcontext ctx)
{
    if (!is_made_by_program(ctx) || thread_context() != ctx)
        return CUDA_ERROR_INVALID_CONTEXT;
    return --ctx->attached ? CUDA_SUCCESS : destroy(ctx);
}

CUresult CUDAAPI cuCtxAttach(CUcontext *pctx, unsigned int flags)
{
    CALL(cuCtxAttach, attach(pctx, flags), "ctx=0x%llx", HEX(OUT(pctx)));
}

CUresult CUDAAPI cuCtxDetach(CUcontext ctx)
{
    CALL(cuCtxDetach, detach(ctx), "ctx=0x%llx", HEX(ctx));
}

/* Primary contexts. */

static CUresult retain(CUcontext *ret, CUdevice ordinal)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    return primary_retain(device_get(ordinal), ret);
}

static void primary_ends(struct device *device)
{
    if (device && device->primary && device->primary->alive)
        observed_ends(OBSERVER_CONTEXT_ENDS, device->primary, NULL, 0);
}

static CUresult release(CUdevice ordinal)
{
    if (device_get(ordinal) && device_get(ordinal)->primary_refs == 1)
        primary_ends(device_get(ordinal));
    return device_get(ordinal) ? primary_release(device_get(ordinal)) : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult reset(CUdevice ordinal)
{
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    primary_ends(device_get(ordinal));
    primary_reset(device_get(ordinal));
    return CUDA_SUCCESS;
}

static CUresult primary_flags_set(CUdevice ordinal, unsigned flags)
{
    struct device *device = device_get(ordinal);

    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (flags & ~CONTEXT_FLAGS)
        return CUDA_ERROR_INVALID_VALUE;
    device->primary_flags = flags;
    if (device->primary && device->primary->alive)
        device->primary->flags = flags;
    return CUDA_SUCCESS;
}

static CUresult primary_state_get(CUdevice ordinal, unsigned *ret_flags, int *ret_active)
{
    struct device *device = device_get(ordinal);

    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!ret_flags && !ret_active)
        return CUDA_ERROR_INVALID_VALUE;
    if (ret_flags)
        *ret_flags = device->primary_flags;
    if (ret_active)
        *ret_active = device->primary && device->primary->alive;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev)
{
    CALL(cuDevicePrimaryCtxRetain, retain(pctx, dev), "ctx=0x%llx", HEX(OUT(pctx)));
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    CALL(cuDevicePrimaryCtxRelease_v2, release(dev));
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice dev)
{
    CALL(cuDevicePrimaryCtxRelease, release(dev));
}

CUresult CUDAAPI cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    CALL(cuDevicePrimaryCtxReset_v2, reset(dev));
}

CUresult CUDAAPI cuDevicePrimaryCtxReset(CUdevice dev)
{
    CALL(cuDevicePrimaryCtxReset, reset(dev));
}

CUresult CUDAAPI cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags)
{
    CALL(cuDevicePrimaryCtxSetFlags_v2, primary_flags_set(dev, flags));
}

CUresult CUDAAPI cuDevicePrimaryCtxSetFlags(CUdevice dev, unsigned int flags)
{
    CALL(cuDevicePrimaryCtxSetFlags, primary_flags_set(dev, flags));
}

CUresult CUDAAPI cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
    CALL(cuDevicePrimaryCtxGetState, primary_state_get(dev, flags, active));
}

/* Synchronisation. */

static CUresult synchronize(CUcontext given)
{
    CUcontext ctx;
    CUresult result = context_or_current(given, &ctx);

    if (result == CUDA_SUCCESS)
        result = capture_check_context(ctx);
    if (result != CUDA_SUCCESS)
        return result;
    context_wait(ctx);
    pools_trim_at_sync(ctx->device);
    return ctx->sticky;
}

CUresult CUDAAPI cuCtxSynchronize(void)
{
    CALL(cuCtxSynchronize, synchronize(NULL));
}

CUresult CUDAAPI cuCtxSynchronize_v2(CUcontext ctx)
{
    CALL(cuCtxSynchronize_v2, synchronize(ctx), "ctx=0x%llx", HEX(ctx));
}

/* The marker is a separate stream, which waits for the others and delays none of them. */
CUresult context_record_event(CUcontext given, CUevent event)
{
    struct point *points = NULL;
    size_t count = 0;
    struct work *work = NULL;
    CUcontext ctx;
    CUresult result = given ? context_or_current(given, &ctx) : CUDA_ERROR_INVALID_CONTEXT;

    if (!profile.ctx_record_event)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (result == CUDA_SUCCESS && (!handle_is(event, HANDLE_EVENT) || event->ctx != ctx))
        result = CUDA_ERROR_INVALID_HANDLE;
    if (result == CUDA_SUCCESS)
        result = capture_check_context(ctx);
    if (result == CUDA_SUCCESS && !ctx->marker)
        result = stream_create(ctx, STREAM_MARKER, CU_STREAM_NON_BLOCKING, 0, &ctx->marker);
    if (result == CUDA_SUCCESS)
        result = context_points(ctx, given->green, &points, &count);
    if (result != CUDA_SUCCESS)
        return result;
    result = CUDA_ERROR_OUT_OF_MEMORY;
    work = work_create(WORK_RECORD);
    if (!work)
        goto end;
    work->event.event = event;
    event_ref(event);
    for (size_t i = 0; i < count; i++)
        if (!work_wait_for(work, points[i])) {
            work_destroy(work);
            goto end;
        }
    work->event.generation = ++event->state->recorded;
    event->capture_id = 0;
    result = stream_submit(ctx->marker, work, false);
end:
    free(points);
    return result;
}

CUresult context_wait_event(CUcontext given, CUevent event)
{
    CUstream each;
    CUcontext ctx;
    CUresult result = given ? context_or_current(given, &ctx) : CUDA_ERROR_INVALID_CONTEXT;

    if (result == CUDA_SUCCESS && !handle_is(event, HANDLE_EVENT))
        result = CUDA_ERROR_INVALID_HANDLE;
    if (result == CUDA_SUCCESS)
        result = capture_check_context(ctx);
    if (result == CUDA_SUCCESS)
        result = capture_check_event(event);
    if (result != CUDA_SUCCESS)
        return result;
    LIST_FOREACH(each, &ctx->streams, link) {
        if (each == ctx->marker || (given->green && each->green != given->green))
            continue;
        result = stream_wait_event(each, event);
        if (result != CUDA_SUCCESS)
            return result;
    }
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxRecordEvent(CUcontext hCtx, CUevent hEvent)
{
    CALL(cuCtxRecordEvent, context_record_event(hCtx, hEvent), "ctx=0x%llx\tevent=0x%llx",
         HEX(hCtx), HEX(hEvent));
}

CUresult CUDAAPI cuCtxWaitEvent(CUcontext hCtx, CUevent hEvent)
{
    CALL(cuCtxWaitEvent, context_wait_event(hCtx, hEvent), "ctx=0x%llx\tevent=0x%llx", HEX(hCtx),
         HEX(hEvent));
}
