/* SPDX-License-Identifier: MIT */
/*
 * Queries of contexts: validity of a handle, the current one, broken ones.
 */
#include "tests/simgpu/driver/context/context.h"

#include "tests/simgpu/driver/base/thread.h"

struct context_list contexts = LIST_HEAD_INITIALIZER(contexts);

CUresult context_check(CUcontext ctx)
{
    if ((uintptr_t)ctx < 4096)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (ctx->handle.magic == HANDLE_FREE || (ctx->handle.magic == HANDLE_CONTEXT && !ctx->alive))
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (ctx->handle.magic != HANDLE_CONTEXT)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!context_owner(ctx)->alive)
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return context_owner(ctx)->sticky;
}

CUresult context_current(CUcontext *ret)
{
    CUcontext ctx = thread_context();
    CUresult result = context_check(ctx);

    *ret = result == CUDA_SUCCESS ? context_owner(ctx) : ctx;
    return result;
}

CUresult context_or_current(CUcontext given, CUcontext *ret)
{
    if (!given)
        return context_current(ret);
    CUresult result = context_check(given);
    *ret = result == CUDA_SUCCESS ? context_owner(given) : given;
    return result;
}

void context_break(CUcontext ctx, CUresult error)
{
    CUresult none = CUDA_SUCCESS;

    atomic_compare_exchange_strong(&ctx->sticky, &none, error);
}
