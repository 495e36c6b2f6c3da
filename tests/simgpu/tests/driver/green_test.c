/* SPDX-License-Identifier: MIT */
/*
 * Green contexts: how multiprocessors are split, what a green context is as a CUcontext, which
 * streams are its own, that it keeps the primary context and that memory is the primary context's.
 */
#include "tests/simgpu/tests/driver/support.h"

static CUdevResource all(void)
{
    CUdevResource resource;

    OK(cuDeviceGetDevResource(0, &resource, CU_DEV_RESOURCE_TYPE_SM));
    CHECK(resource.type == CU_DEV_RESOURCE_TYPE_SM && resource.sm.smCount >= 16);
    return resource;
}

static void splitting(void)
{
    CUdevResource resource = all(), groups[64], rest;
    unsigned count = 0, wanted = 2;

    EXPECT(CUDA_ERROR_INVALID_RESOURCE_TYPE,
           cuDeviceGetDevResource(0, &rest, CU_DEV_RESOURCE_TYPE_INVALID));
    OK(cuDevSmResourceSplitByCount(NULL, &count, &resource, NULL, 0, 16));
    CHECK(count >= 1 && count <= resource.sm.smCount / 16);
    OK(cuDevSmResourceSplitByCount(groups, &wanted, &resource, &rest, 0, 9));
    CHECK(wanted == 2 && groups[0].sm.smCount >= 9);
    CHECK(groups[0].sm.smCount == groups[1].sm.smCount);
    CHECK(groups[0].sm.smCount % resource.sm.smCoscheduledAlignment == 0);
    CHECK(2 * groups[0].sm.smCount + rest.sm.smCount == resource.sm.smCount);
    FAILS(cuDevSmResourceSplitByCount(NULL, &count, &resource, NULL, 0, resource.sm.smCount + 1));
    FAILS(cuDevSmResourceSplitByCount(NULL, NULL, &resource, NULL, 0, 8));
}

static CUgreenCtx create(unsigned least)
{
    CUdevResource resource = all(), group;
    CUdevResourceDesc desc;
    CUgreenCtx green;
    unsigned count = 1;

    OK(cuDevSmResourceSplitByCount(&group, &count, &resource, NULL, 0, least));
    OK(cuDevResourceGenerateDesc(&desc, &group, 1));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuGreenCtxCreate(&green, desc, 0, 0));
    OK(cuGreenCtxCreate(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    return green;
}

static void as_context(CUcontext primary)
{
    CUgreenCtx green = create(16), of_stream;
    CUcontext context, got;
    CUdevResource resource;
    CUstream in_green, plain;
    CUdevice device;
    unsigned long long id, primary_id;

    OK(cuCtxFromGreenCtx(&context, green));
    CHECK(context != primary);
    OK(cuCtxGetDevResource(context, &resource, CU_DEV_RESOURCE_TYPE_SM));
    CHECK(resource.sm.smCount >= 16 && resource.sm.smCount < all().sm.smCount);
    OK(cuCtxGetId(context, &id));
    OK(cuCtxGetId(primary, &primary_id));
    CHECK(id != primary_id);
    OK(cuStreamCreate(&plain, CU_STREAM_NON_BLOCKING));
    OK(cuCtxPushCurrent(context));
    OK(cuCtxGetCurrent(&got));
    CHECK(got == context);
    OK(cuCtxGetDevice(&device));
    CHECK(device == 0);
    OK(cuStreamCreate(&in_green, CU_STREAM_NON_BLOCKING));
    OK(cuStreamGetGreenCtx(in_green, &of_stream));
    CHECK(of_stream == green);
    OK(cuStreamGetGreenCtx(NULL, &of_stream));
    CHECK(of_stream == green);
    OK(cuStreamGetGreenCtx(plain, &of_stream));
    CHECK(!of_stream);
    OK(cuCtxPopCurrent(&got));
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy(context));
    OK(cuGreenCtxDestroy(green));
    FAILS(cuCtxPushCurrent(context));
    EXPECT(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuStreamSynchronize(in_green));
    OK(cuStreamDestroy(plain));
}

/* An event of a green context is behind the work of its streams, and only of those. */
static void events(CUcontext primary)
{
    CUgreenCtx green = create(8);
    CUstream own, other;
    CUevent event, of_primary;
    CUdeviceptr memory;

    if (!simulated())
        return;
    OK(cuGreenCtxStreamCreate(&own, green, CU_STREAM_NON_BLOCKING, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuGreenCtxStreamCreate(&other, green, CU_STREAM_DEFAULT, 0));
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    OK(cuEventCreate(&of_primary, CU_EVENT_DISABLE_TIMING));
    OK(cuMemAlloc(&memory, 4096));
    hold(other);
    OK(cuMemsetD8Async(memory, 1, 4096, other));
    OK(cuGreenCtxRecordEvent(green, event));
    OK(cuEventSynchronize(event));
    release(other);
    OK(cuStreamSynchronize(other));
    hold(own);
    OK(cuMemsetD8Async(memory, 1, 4096, own));
    OK(cuGreenCtxRecordEvent(green, event));
    EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    OK(cuCtxRecordEvent(primary, of_primary)); /* covers green contexts */
    EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(of_primary));
    release(own);
    OK(cuEventSynchronize(event));
    OK(cuEventSynchronize(of_primary));
    OK(cuMemFree(memory));
    OK(cuStreamDestroy(own));
    OK(cuStreamDestroy(other));
    OK(cuGreenCtxDestroy(green));
}

static void memory(CUcontext primary)
{
    CUgreenCtx green = create(8);
    CUcontext context;
    CUdeviceptr block;
    int active;
    unsigned flags, value = 0;

    OK(cuCtxFromGreenCtx(&context, green));
    OK(cuCtxPushCurrent(context));
    OK(cuMemAlloc(&block, 4096));
    OK(cuMemsetD32(block, 7, 1024));
    OK(cuCtxPopCurrent(NULL));
    OK(cuGreenCtxDestroy(green));
    OK(cuMemcpyDtoH(&value, block, sizeof value));
    CHECK(value == 7);
    OK(cuMemFree(block));
    /* It alone keeps the primary context. */
    green = create(8);
    OK(cuDevicePrimaryCtxRelease(0));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active);
    OK(cuGreenCtxDestroy(green));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(!active);
}

int main(void)
{
    CUcontext primary = start();

    splitting();
    as_context(primary);
    events(primary);
    memory(primary);
    return 0;
}
