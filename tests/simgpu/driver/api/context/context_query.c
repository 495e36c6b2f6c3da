/* SPDX-License-Identifier: MIT */
/*
 * Queries and settings of a context: device, flags, limits, peers.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/context/context.h"

static CUresult device_of(CUdevice *ret, CUcontext given)
{
    CUcontext ctx;
    CUresult result = context_or_current(given, &ctx);

    if (result == CUDA_SUCCESS && !ret)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        *ret = ctx->device->ordinal;
    return result;
}

CUresult CUDAAPI cuCtxGetDevice(CUdevice *device)
{
    CALL_UNLOCKED(cuCtxGetDevice, device_of(device, NULL));
}

CUresult CUDAAPI cuCtxGetDevice_v2(CUdevice *device, CUcontext ctx)
{
    CALL_UNLOCKED(cuCtxGetDevice_v2, device_of(device, ctx));
}

static CUresult flags_get(unsigned *ret)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        *ret = ctx->flags;
    return result;
}

CUresult CUDAAPI cuCtxGetFlags(unsigned int *flags)
{
    CALL(cuCtxGetFlags, flags ? flags_get(flags) : CUDA_ERROR_INVALID_VALUE);
}

static CUresult flags_set(unsigned flags)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        ctx->flags = flags;
    return result;
}

CUresult CUDAAPI cuCtxSetFlags(unsigned int flags)
{
    CALL(cuCtxSetFlags, flags_set(flags));
}

/* Of the handle itself, be it an alias of a green context. */
static CUresult id_get(CUcontext given, unsigned long long *ret)
{
    CUcontext ctx = given ? given : thread_context();
    CUresult result = context_check(ctx);

    if (result == CUDA_SUCCESS && !ret)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        *ret = ctx->id;
    return result;
}

CUresult CUDAAPI cuCtxGetId(CUcontext ctx, unsigned long long *ctxId)
{
    CALL_UNLOCKED(cuCtxGetId, id_get(ctx, ctxId));
}

static CUresult version_get(CUcontext given, unsigned *ret)
{
    CUcontext ctx;
    CUresult result = context_or_current(given, &ctx);

    if (result == CUDA_SUCCESS && ret)
        *ret = ctx->api_version;
    return result;
}

CUresult CUDAAPI cuCtxGetApiVersion(CUcontext ctx, unsigned int *version)
{
    CALL(cuCtxGetApiVersion, version_get(ctx, version));
}

static CUresult limit_get(size_t *ret, CUlimit limit)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if ((unsigned)limit >= CU_LIMIT_MAX)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *ret = ctx->limits[limit];
    return CUDA_SUCCESS;
}

static CUresult limit_set(CUlimit limit, size_t value)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)limit >= CU_LIMIT_SHMEM_SIZE)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    ctx->limits[limit] = value;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetLimit(size_t *pvalue, CUlimit limit)
{
    CALL(cuCtxGetLimit, limit_get(pvalue, limit));
}

CUresult CUDAAPI cuCtxSetLimit(CUlimit limit, size_t value)
{
    CALL(cuCtxSetLimit, limit_set(limit, value));
}

static CUresult cache_get(CUfunc_cache *ret)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        *ret = ctx->cache_config;
    return result;
}

static CUresult cache_set(CUfunc_cache config)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        ctx->cache_config = config;
    return result;
}

CUresult CUDAAPI cuCtxGetCacheConfig(CUfunc_cache *pconfig)
{
    CALL(cuCtxGetCacheConfig, pconfig ? cache_get(pconfig) : CUDA_ERROR_INVALID_VALUE);
}

CUresult CUDAAPI cuCtxSetCacheConfig(CUfunc_cache config)
{
    CALL(cuCtxSetCacheConfig, cache_set(config));
}

static CUresult shared_get(CUsharedconfig *ret)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        *ret = ctx->shared_config;
    return result;
}

static CUresult shared_set(CUsharedconfig config)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        ctx->shared_config = config;
    return result;
}

CUresult CUDAAPI cuCtxGetSharedMemConfig(CUsharedconfig *pConfig)
{
    CALL(cuCtxGetSharedMemConfig, pConfig ? shared_get(pConfig) : CUDA_ERROR_INVALID_VALUE);
}

CUresult CUDAAPI cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    CALL(cuCtxSetSharedMemConfig, shared_set(config));
}

static CUresult priorities_get(int *ret_least, int *ret_greatest)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (ret_least)
        *ret_least = 0;
    if (ret_greatest)
        *ret_greatest = -5;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetStreamPriorityRange(int *leastPriority, int *greatestPriority)
{
    CALL(cuCtxGetStreamPriorityRange, priorities_get(leastPriority, greatestPriority));
}

static CUresult affinity_get(CUexecAffinityParam *ret, CUexecAffinityType type)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    return ret ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuCtxGetExecAffinity(CUexecAffinityParam *pExecAffinity, CUexecAffinityType type)
{
    CALL(cuCtxGetExecAffinity, affinity_get(pExecAffinity, type));
}

static CUresult nothing_to_reset(void)
{
    CUcontext ctx;

    return context_current(&ctx);
}

CUresult CUDAAPI cuCtxResetPersistingL2Cache(void)
{
    CALL(cuCtxResetPersistingL2Cache, nothing_to_reset());
}

/* All addresses are valid everywhere; peer access changes only the results of queries. */
static CUresult peer_enable(CUcontext peer, unsigned flags)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        result = context_check(peer);
    if (result != CUDA_SUCCESS)
        return result;
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (peer == ctx || peer->device == ctx->device)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (ctx->peers >> peer->device->ordinal & 1)
        return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
    ctx->peers |= 1u << peer->device->ordinal;
    return CUDA_SUCCESS;
}

static CUresult peer_disable(CUcontext peer)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result == CUDA_SUCCESS)
        result = context_check(peer);
    if (result != CUDA_SUCCESS)
        return result;
    if (!(ctx->peers >> peer->device->ordinal & 1))
        return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
    ctx->peers &= ~(1u << peer->device->ordinal);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxEnablePeerAccess(CUcontext peerContext, unsigned int Flags)
{
    CALL(cuCtxEnablePeerAccess, peer_enable(peerContext, Flags));
}

CUresult CUDAAPI cuCtxDisablePeerAccess(CUcontext peerContext)
{
    CALL(cuCtxDisablePeerAccess, peer_disable(peerContext));
}
