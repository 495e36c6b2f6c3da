/* SPDX-License-Identifier: MIT */
/* errno is not changed. */
#include <errno.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

static int wrong;

#define KEEPS(call)                                                                                \
    do {                                                                                           \
        errno = 77;                                                                                \
        (void)(call);                                                                              \
        if (errno != 77)                                                                           \
            wrong++, printf("%s: errno %d\n", #call, errno);                                       \
    } while (0)

/* Enough to be freed and asked for that an allocator in between calls the device. */
static void blocks(size_t bytes)
{
    void *block[40];

    for (int i = 0; i < 40; i++)
        KEEPS(route_allocate(&block[i], bytes));
    for (int i = 0; i < 40; i++)
        KEEPS(route_free(block[i]));
}

/* Their ends, each with memory that goes with it. */
static void contexts(void)
{
    CUcontext first, second, other;
    CUdevice device = 0;
    int count = 0;
    void *pointer;

    DRIVER(cuCtxGetCurrent)(&first);
    if (route_context_create(&second, 0) == CUDA_SUCCESS) {
        KEEPS(route_allocate(&pointer, 1000));
        KEEPS(DRIVER(cuCtxDestroy)(second));
        DRIVER(cuCtxSetCurrent)(first);
    }
    DRIVER(cuDeviceGetCount)(&count);
    if (count > 1 && DRIVER(cuDeviceGet)(&device, 1) == CUDA_SUCCESS &&
        DRIVER(cuDevicePrimaryCtxRetain)(&other, device) == CUDA_SUCCESS) {
        KEEPS(DRIVER(cuCtxEnablePeerAccess)(other, 0));
        KEEPS(DRIVER(cuDevicePrimaryCtxRelease)(device));
    }
    KEEPS(DRIVER(cuDevicePrimaryCtxReset)(0));
    if (route_is_runtime) {
        KEEPS(route_allocate(&pointer, 1000));
        KEEPS(route_runtime.cudaDeviceReset());
    }
}

static void green_context(void)
{
    CUdevResource all, share[2], rest;
    CUdevResourceDesc desc;
    unsigned groups = 2;
    CUgreenCtx green = NULL;
    CUcontext context = NULL;

    if (!DRIVER(cuDeviceGetDevResource) || !DRIVER(cuCtxFromGreenCtx) ||
        DRIVER(cuDeviceGetDevResource)(0, &all, CU_DEV_RESOURCE_TYPE_SM) ||
        DRIVER(cuDevSmResourceSplitByCount)(share, &groups, &all, &rest, 0, 16) || !groups ||
        DRIVER(cuDevResourceGenerateDesc)(&desc, share, 1) ||
        DRIVER(cuGreenCtxCreate)(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM))
        return;
    KEEPS(DRIVER(cuCtxFromGreenCtx)(&context, green));
    KEEPS(DRIVER(cuGreenCtxDestroy)(green));
}

int program_error_number(const char *self, const char *route, const char *argument)
{
    void *pointer = NULL, *pinned = NULL;
    size_t free_bytes, total;
    CUipcMemHandle handle;

    route_start();
    route_free(NULL);
    KEEPS(route_allocate(&pointer, 1000));
    KEEPS(route_memory_info(&free_bytes, &total));
    KEEPS(route_free(pointer));
    KEEPS(route_free(pointer));
    KEEPS(route_allocate(&pointer, 50 << 20));
    KEEPS(route_free(pointer));
    KEEPS(route_allocate(&pointer, (size_t)1 << 60));
    KEEPS(route_allocate(&pointer, 1000));
    KEEPS(route_ipc_export(&handle, pointer));
    KEEPS(route_free(pointer));
    blocks(1000);
    blocks(1 << 20);
    blocks(5 << 20);
    blocks(3 << 20);
    KEEPS(route_host_allocate(&pinned, 1000));
    KEEPS(route_host_free(pinned));
    green_context();
    contexts();
    printf("done\n");
    return wrong != 0;
}
