/* SPDX-License-Identifier: MIT */
/*
 * The first call that reports a fault breaks the context of that fault and no other, whichever is
 * current. A green context breaks its primary one.
 */
#include <stdio.h>
#include <unistd.h>

#include "route.h"
#include "fault.h"
#include "program.h"

#define BYTES      ((size_t)10000)
#define TRIES      10000
#define ADDRESS(p) ((CUdeviceptr)(uintptr_t)(p))

static void *blocks[4];
static CUstream stream;
static char host[100];

static int by_copy_there(void)
{
    return (int)DRIVER(cuMemcpyHtoD)(ADDRESS(blocks[0]), host, sizeof(host));
}

static int by_copy_back(void)
{
    return (int)DRIVER(cuMemcpyDtoH)(host, ADDRESS(blocks[0]), sizeof(host));
}

static int by_copy(void)
{
    return (int)DRIVER(cuMemcpyDtoD)(ADDRESS(blocks[0]), ADDRESS(blocks[1]), sizeof(host));
}

static int by_fill(void)
{
    return (int)DRIVER(cuMemsetD8)(ADDRESS(blocks[0]), 1, sizeof(host));
}

static int by_info(void)
{
    size_t left, total;

    return (int)DRIVER(cuMemGetInfo)(&left, &total);
}

static int by_managed_memory(void)
{
    CUdeviceptr managed;

    return (int)DRIVER(cuMemAllocManaged)(&managed, BYTES, CU_MEM_ATTACH_GLOBAL);
}

static int by_host_memory(void)
{
    void *locked;

    return (int)DRIVER(cuMemAllocHost)(&locked, BYTES);
}

static int by_stream(void)
{
    return (int)DRIVER(cuStreamSynchronize)(stream);
}

static int by_context(void)
{
    return (int)DRIVER(cuCtxSynchronize)();
}

/* Repeated until the fault has happened. */
static int first_error(int (*call)(void))
{
    int error = call();

    for (int i = 0; i < TRIES && !error; i++) {
        usleep(1000);
        error = call();
    }
    return error;
}

static void use(const char *what)
{
    void *pointer = NULL;

    printf("%s: ", what);
    route_report("free", route_free(blocks[2]));
    printf("%s: ", what);
    route_report("allocate", route_allocate(&pointer, BYTES));
    printf("%s: ", what);
    route_report("free", route_free(blocks[3]));
}

static void blocks_take(void)
{
    for (int i = 0; i < 4; i++)
        route_report("allocate", route_allocate(&blocks[i], BYTES));
}

/* Breaks a context of its own, which the call reports. */
static void broken_by(const char *what, int (*call)(void))
{
    CUcontext breaks;

    if (route_context_create(&breaks, 0))
        route_skip("the device has no second context");
    blocks_take();
    route_report("fault", route_fault_begin());
    route_report(what, first_error(call));
    use("in the broken context");
}

/* The error is about a stream of a context that is not current. */
static void broken_elsewhere(CUcontext stays)
{
    void *in_broken[4];
    CUcontext breaks;

    if (route_context_create(&breaks, 0))
        route_skip("the device has no second context");
    blocks_take();
    for (int i = 0; i < 4; i++)
        in_broken[i] = blocks[i];
    route_report("stream", route_stream_create(&stream));
    route_report("fault", route_fault_begin());
    DRIVER(cuCtxSetCurrent)(stays);
    blocks_take();
    route_report("wait for the other", first_error(by_stream));
    use("in the sound context");
    DRIVER(cuCtxSetCurrent)(breaks);
    for (int i = 0; i < 4; i++)
        blocks[i] = in_broken[i];
    use("in the broken context");
    DRIVER(cuCtxSetCurrent)(stays);
}

static void broken_green(CUcontext primary)
{
    CUdevResource all, share[2], rest;
    CUdevResourceDesc desc;
    CUgreenCtx green = NULL;
    CUcontext context = NULL;
    unsigned groups = 2;

    if (!DRIVER(cuGreenCtxCreate) || !DRIVER(cuDeviceGetDevResource) ||
        DRIVER(cuDeviceGetDevResource)(0, &all, CU_DEV_RESOURCE_TYPE_SM) ||
        DRIVER(cuDevSmResourceSplitByCount)(share, &groups, &all, &rest, 0, 16) || !groups ||
        DRIVER(cuDevResourceGenerateDesc)(&desc, share, 1) ||
        DRIVER(cuGreenCtxCreate)(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM) ||
        DRIVER(cuCtxFromGreenCtx)(&context, green)) {
        printf("no green contexts\n");
        return;
    }
    blocks_take();
    DRIVER(cuCtxSetCurrent)(context);
    route_report("fault", route_fault_begin());
    route_report("wait in green", first_error(by_context));
    use("in green");
    DRIVER(cuCtxSetCurrent)(primary);
    use("in the primary context");
}

int program_broken_other(const char *self, const char *route, const char *argument)
{
    CUcontext stays = NULL;

    route_start();
    route_free(NULL);
    DRIVER(cuCtxGetCurrent)(&stays);
    broken_by("copy there", by_copy_there);
    broken_by("copy back", by_copy_back);
    broken_by("copy", by_copy);
    broken_by("fill", by_fill);
    broken_by("info", by_info);
    broken_by("managed memory", by_managed_memory);
    broken_by("host memory", by_host_memory);
    DRIVER(cuCtxSetCurrent)(stays);
    broken_elsewhere(stays);
    broken_green(stays);
    return 0;
}
