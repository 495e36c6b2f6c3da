/* SPDX-License-Identifier: MIT */
/*
 * Resources of multiprocessors, how they are split, and green contexts made of them. A partition
 * has at least 8 multiprocessors and a multiple of 8, as on compute capability 9.0, or of 2 when
 * co-scheduling is given up. Descriptors are never given back, as cuda.h has no call for it.
 */
#include "tests/simgpu/driver/context/green.h"

#include <string.h>

#include "tests/simgpu/driver/api/context/context_life.h"
#include "tests/simgpu/driver/base/call.h"
#include "tests/simgpu/driver/work/stream.h"

#define PARTITION_SMS 8
#define LEAST_SMS     2

/* Target of a CUdevResourceDesc. */
struct CUdevResourceDesc_st {
    struct handle handle;
    CUdevSmResource sm;
};

static struct handle_cache green_cache = {
    HANDLE_GREEN, sizeof(struct CUgreenCtx_st), {NULL}, {NULL}};
static struct handle_cache desc_cache = {
    HANDLE_RESOURCE, sizeof(struct CUdevResourceDesc_st), {NULL}, {NULL}};

static CUdevSmResource sm_of(unsigned count)
{
    return (CUdevSmResource){
        .smCount = count,
        .minSmPartitionSize = PARTITION_SMS,
        .smCoscheduledAlignment = PARTITION_SMS,
    };
}

static CUresult resource_get(CUdevResource *ret, CUdevResourceType type, CUdevSmResource sm)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    memset(ret, 0, sizeof *ret);
    ret->type = type;
    ret->sm = sm;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetDevResource(CUdevice device, CUdevResource *resource,
                                        CUdevResourceType type)
{
    CALL(cuDeviceGetDevResource,
         device_get(device) ? resource_get(resource, type, sm_of((unsigned)profile.multiprocessors))
                            : CUDA_ERROR_INVALID_DEVICE);
}

static CUresult context_resource(CUcontext ctx, CUdevResource *ret, CUdevResourceType type)
{
    CUresult result = context_check(ctx);

    if (result != CUDA_SUCCESS)
        return result;
    return resource_get(ret, type,
                        ctx->green ? ctx->green->sm : sm_of((unsigned)profile.multiprocessors));
}

CUresult CUDAAPI cuCtxGetDevResource(CUcontext hCtx, CUdevResource *resource,
                                     CUdevResourceType type)
{
    CALL(cuCtxGetDevResource, context_resource(hCtx, resource, type), "ctx=0x%llx", HEX(hCtx));
}

CUresult CUDAAPI cuGreenCtxGetDevResource(CUgreenCtx hCtx, CUdevResource *resource,
                                          CUdevResourceType type)
{
    CALL(cuGreenCtxGetDevResource, handle_is(hCtx, HANDLE_GREEN)
                                       ? resource_get(resource, type, hCtx->sm)
                                       : CUDA_ERROR_INVALID_CONTEXT);
}

static CUresult split(CUdevResource *result, unsigned *groups, const CUdevResource *input,
                      CUdevResource *remaining, unsigned flags, unsigned least)
{
    if (!groups || !input || (result && !*groups) ||
        flags & ~(unsigned)(CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING |
                            CU_DEV_SM_RESOURCE_SPLIT_MAX_POTENTIAL_CLUSTER_SIZE))
        return CUDA_ERROR_INVALID_VALUE;
    if (input->type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    if (least > input->sm.smCount)
        return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    bool single = flags & CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING;
    unsigned unit = single ? LEAST_SMS : PARTITION_SMS, total = input->sm.smCount;
    unsigned size = least ? ROUND_UP(least, unit) : unit;
    unsigned most = total / size;
    unsigned made = result && *groups < most ? *groups : most;
    for (unsigned i = 0; result && i < made; i++)
        resource_get(&result[i], CU_DEV_RESOURCE_TYPE_SM, sm_of(size));
    if (remaining)
        resource_get(remaining, CU_DEV_RESOURCE_TYPE_SM, sm_of(total - made * size));
    *groups = made;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevSmResourceSplitByCount(CUdevResource *result, unsigned int *nbGroups,
                                             const CUdevResource *input, CUdevResource *remaining,
                                             unsigned int useFlags, unsigned int minCount)
{
    CALL(cuDevSmResourceSplitByCount,
         split(result, nbGroups, input, remaining, useFlags, minCount));
}

static CUresult describe(CUdevResourceDesc *ret, const CUdevResource *resources, unsigned count)
{
    unsigned total = 0;

    if (!ret || !resources || !count)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
        if (resources[i].type != CU_DEV_RESOURCE_TYPE_SM)
            return CUDA_ERROR_INVALID_RESOURCE_TYPE;
        total += resources[i].sm.smCount;
    }
    if (!total)
        return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    struct CUdevResourceDesc_st *desc = handle_take(&desc_cache);
    if (!desc)
        return CUDA_ERROR_OUT_OF_MEMORY;
    desc->sm = sm_of(total);
    *ret = desc;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevResourceGenerateDesc(CUdevResourceDesc *phDesc, CUdevResource *resources,
                                           unsigned int nbResources)
{
    CALL(cuDevResourceGenerateDesc, describe(phDesc, resources, nbResources));
}

static CUresult create(CUgreenCtx *ret, CUdevResourceDesc desc, CUdevice ordinal, unsigned flags)
{
    static uint64_t last_id;
    struct device *device = device_get(ordinal);
    CUcontext primary;

    if (!ret || flags != CU_GREEN_CTX_DEFAULT_STREAM || !handle_is(desc, HANDLE_RESOURCE))
        return CUDA_ERROR_INVALID_VALUE;
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    CUresult result = primary_retain(device, &primary);
    if (result != CUDA_SUCCESS)
        return result;
    CUgreenCtx green = handle_take(&green_cache);
    CUcontext alias = green ? context_alias(primary, green) : NULL;
    if (!alias) {
        if (green)
            handle_give(&green_cache, green);
        primary_release(device);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    green->device = device;
    green->alias = alias;
    green->sm = desc->sm;
    green->id = ++last_id;
    *ret = green;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGreenCtxCreate(CUgreenCtx *phCtx, CUdevResourceDesc desc, CUdevice dev,
                                  unsigned int flags)
{
    CALL(cuGreenCtxCreate, create(phCtx, desc, dev, flags), "green=0x%llx", HEX(OUT(phCtx)));
}

static CUresult destroy(CUgreenCtx green)
{
    if (!handle_is(green, HANDLE_GREEN))
        return CUDA_ERROR_INVALID_CONTEXT;
    struct device *device = green->device;
    context_alias_end(green->alias);
    handle_give(&green_cache, green);
    return primary_release(device);
}

CUresult CUDAAPI cuGreenCtxDestroy(CUgreenCtx hCtx)
{
    CALL(cuGreenCtxDestroy, destroy(hCtx), "green=0x%llx", HEX(hCtx));
}

static CUresult alias_get(CUcontext *ret, CUgreenCtx green)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(green, HANDLE_GREEN))
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret = green->alias;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxFromGreenCtx(CUcontext *pContext, CUgreenCtx hCtx)
{
    CALL(cuCtxFromGreenCtx, alias_get(pContext, hCtx), "ctx=0x%llx", HEX(OUT(pContext)));
}

static CUresult id_get(CUgreenCtx green, unsigned long long *ret)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(green, HANDLE_GREEN))
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret = green->id;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGreenCtxGetId(CUgreenCtx greenCtx, unsigned long long *greenCtxId)
{
    CALL(cuGreenCtxGetId, id_get(greenCtx, greenCtxId));
}

static CUresult stream_make(CUstream *ret, CUgreenCtx green, unsigned flags, int priority)
{
    if (!ret || flags != CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(green, HANDLE_GREEN))
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = context_check(green->alias);
    if (result == CUDA_SUCCESS)
        result = stream_create(green->alias->parent, STREAM_USER, flags, priority, ret);
    if (result == CUDA_SUCCESS)
        (*ret)->green = green;
    return result;
}

CUresult CUDAAPI cuGreenCtxStreamCreate(CUstream *phStream, CUgreenCtx greenCtx, unsigned int flags,
                                        int priority)
{
    CALL(cuGreenCtxStreamCreate, stream_make(phStream, greenCtx, flags, priority), "stream=0x%llx",
         HEX(OUT(phStream)));
}

CUresult CUDAAPI cuGreenCtxRecordEvent(CUgreenCtx hCtx, CUevent hEvent)
{
    CALL(cuGreenCtxRecordEvent, handle_is(hCtx, HANDLE_GREEN)
                                    ? context_record_event(hCtx->alias, hEvent)
                                    : CUDA_ERROR_INVALID_CONTEXT);
}

CUresult CUDAAPI cuGreenCtxWaitEvent(CUgreenCtx hCtx, CUevent hEvent)
{
    CALL(cuGreenCtxWaitEvent, handle_is(hCtx, HANDLE_GREEN)
                                  ? context_wait_event(hCtx->alias, hEvent)
                                  : CUDA_ERROR_INVALID_CONTEXT);
}

static CUresult green_of(CUstream given, CUgreenCtx *ret)
{
    CUstream stream;
    CUresult result = stream_resolve(given, false, &stream);

    if (result == CUDA_SUCCESS && !ret)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        *ret = given && given != CU_STREAM_LEGACY ? stream->green : green_current();
    return result;
}

CUresult CUDAAPI cuStreamGetGreenCtx(CUstream hStream, CUgreenCtx *phCtx)
{
    CALL(cuStreamGetGreenCtx, green_of(hStream, phCtx), "stream=0x%llx", HEX(hStream));
}
