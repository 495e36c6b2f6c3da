/* SPDX-License-Identifier: MIT */
/*
 * The life of contexts. A context that dies first finishes its work (held streams are let go), then
 * takes its captures, streams, events, modules and memory along; memory of pools and of cuMemCreate
 * stays, as cuda.h says.
 */
#include "tests/simgpu/driver/api/context/context_life.h"

#include <string.h>

#include "tests/simgpu/driver/api/memory/ipc.h"
#include "tests/simgpu/driver/base/call.h"
#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/driver/memory/host_memory.h"
#include "tests/simgpu/driver/module/module.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/event.h"
#include "tests/simgpu/driver/work/stream.h"

static struct handle_cache context_cache = {
    HANDLE_CONTEXT, sizeof(struct CUctx_st), {NULL}, {NULL}};

static const size_t limit_defaults[CU_LIMIT_MAX] = {
    [CU_LIMIT_STACK_SIZE] = 1024,
    [CU_LIMIT_PRINTF_FIFO_SIZE] = 7405568,
    [CU_LIMIT_MALLOC_HEAP_SIZE] = 8 * MIB,
    [CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2,
    [CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048,
    [CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 128,
};

static uint64_t last_id;

static CUresult context_start(CUcontext ctx, struct device *device, unsigned flags)
{
    if (device->capacity - device->used < profile.context_bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    ctx->device = device;
    ctx->flags = flags;
    ctx->attached = 1;
    ctx->api_version = 3020;
    ctx->id = ++last_id;
    ctx->parent = NULL;
    ctx->green = NULL;
    ctx->sticky = CUDA_SUCCESS;
    ctx->arena = (struct arena){.device = device};
    LIST_INIT(&ctx->allocations);
    LIST_INIT(&ctx->streams);
    LIST_INIT(&ctx->modules);
    ctx->marker = NULL;
    ctx->captures = 0;
    ctx->peers = 0;
    ctx->cache_config = CU_FUNC_CACHE_PREFER_NONE;
    ctx->shared_config = CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE;
    memcpy(ctx->limits, limit_defaults, sizeof ctx->limits);
    CUresult result = stream_create(ctx, STREAM_LEGACY, CU_STREAM_DEFAULT, 0, &ctx->legacy);
    if (result != CUDA_SUCCESS)
        return result;
    device->used += profile.context_bytes;
    ctx->alive = true;
    LIST_INSERT_HEAD(&contexts, ctx, link);
    observed_made(OBSERVER_CONTEXT_CREATED, ctx, NULL, 0);
    call_add_ns(thread_self(), profile.context_create_ns);
    return CUDA_SUCCESS;
}

CUresult context_create(struct device *device, unsigned flags, CUcontext *ret)
{
    CUcontext ctx = handle_take(&context_cache);

    if (!ctx)
        return CUDA_ERROR_OUT_OF_MEMORY;
    ctx->primary = false;
    CUresult result = context_start(ctx, device, flags);
    if (result != CUDA_SUCCESS) {
        handle_give(&context_cache, ctx);
        return result;
    }
    *ret = ctx;
    return CUDA_SUCCESS;
}

CUcontext context_alias(CUcontext parent, CUgreenCtx green)
{
    CUcontext ctx = handle_take(&context_cache);

    if (!ctx)
        return NULL;
    ctx->primary = false;
    ctx->device = parent->device;
    ctx->id = ++last_id;
    ctx->parent = parent;
    ctx->green = green;
    ctx->alive = true;
    return ctx;
}

void context_alias_end(CUcontext alias)
{
    alias->alive = false;
    alias->parent = NULL;
    alias->green = NULL;
    handle_give(&context_cache, alias);
}

static void memory_drop(CUcontext ctx)
{
    while (!LIST_EMPTY(&ctx->allocations)) {
        struct allocation *each = LIST_FIRST(&ctx->allocations);

        ipc_forget(each);
        if (each->kind == MEMORY_HOST || each->kind == MEMORY_REGISTERED)
            host_memory_give(each);
        else
            memory_give(each);
    }
}

static void context_stop(CUcontext ctx)
{
    CUstream each;

    ctx->alive = false;
    LIST_FOREACH(each, &ctx->streams, link) {
        each->held = 0;
        if (each->has_worker)
            pthread_cond_signal(&each->wake);
    }
    captures_drop(ctx);
    context_wait(ctx);
    LIST_REMOVE(ctx, link);
    while (!LIST_EMPTY(&ctx->streams))
        stream_destroy(LIST_FIRST(&ctx->streams));
    events_drop(ctx);
    modules_drop(ctx);
    memory_drop(ctx);
    ctx->device->used -= profile.context_bytes;
}

void context_destroy(CUcontext ctx)
{
    context_stop(ctx);
    handle_give(&context_cache, ctx);
}

CUresult primary_retain(struct device *device, CUcontext *ret)
{
    if (!device->primary) {
        device->primary = handle_take(&context_cache);
        if (!device->primary)
            return CUDA_ERROR_OUT_OF_MEMORY;
        device->primary->primary = true;
        device->primary->alive = false;
    }
    if (!device->primary->alive) {
        CUresult result = context_start(device->primary, device, device->primary_flags);

        if (result != CUDA_SUCCESS)
            return result;
    }
    device->primary_refs++;
    *ret = device->primary;
    return CUDA_SUCCESS;
}

CUresult primary_release(struct device *device)
{
    if (!device->primary_refs)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!--device->primary_refs)
        primary_reset(device);
    return CUDA_SUCCESS;
}

void primary_reset(struct device *device)
{
    if (device->primary && device->primary->alive)
        context_stop(device->primary);
}
