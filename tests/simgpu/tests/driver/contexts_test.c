/* SPDX-License-Identifier: MIT */
/*
 * Contexts: before cuInit, the stack, primary contexts and their count, destruction, fork.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <sys/wait.h>
#include <unistd.h>

static void before_init(void)
{
    int count, version;
    CUcontext ctx;

    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&count));
    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuCtxGetCurrent(&ctx));
    OK(cuDriverGetVersion(&version));
    CHECK(version >= 12000);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuInit(1));
}

static CUcontext create(void)
{
    CUcontext ctx;

    OK(cuCtxCreate(&ctx, NULL, 0, 0));
    return ctx;
}

static void stack(void)
{
    CUcontext a, b, got;
    CUdeviceptr memory;

    OK(cuCtxGetCurrent(&got));
    CHECK(!got);
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&memory, 16));
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxPopCurrent(&got));
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxPushCurrent(NULL));
    a = create();
    b = create();
    OK(cuCtxGetCurrent(&got));
    CHECK(got == b);
    OK(cuCtxPopCurrent(&got));
    CHECK(got == b);
    OK(cuCtxGetCurrent(&got));
    CHECK(got == a);
    OK(cuCtxPushCurrent(b));
    OK(cuCtxSetCurrent(a));
    OK(cuCtxPopCurrent(&got));
    CHECK(got == a);
    OK(cuCtxPopCurrent(&got));
    CHECK(got == a);
    unsigned long long id_a, id_b;
    OK(cuCtxGetId(a, &id_a));
    OK(cuCtxGetId(b, &id_b));
    CHECK(id_a != id_b);
    OK(cuCtxDestroy(a));
    OK(cuCtxDestroy(b));
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* A context lives until it was detached as often as it was created and attached. */
static void attachments(void)
{
    CUcontext a = create(), b = create(), got;
    CUdeviceptr memory;

    OK(cuMemAlloc(&memory, 16));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuCtxAttach(&got, 1));
    OK(cuCtxAttach(&got, 0));
    CHECK(got == b);
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxDetach(a)); /* not current */
    OK(cuCtxDetach(b));
    OK(cuMemFree(memory));
    OK(cuCtxDetach(b));
    OK(cuCtxGetCurrent(&got));
    CHECK(got == a);
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxDetach(b));
    OK(cuCtxDetach(a));
    OK(cuCtxGetCurrent(&got));
    CHECK(!got);
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxAttach(&got, 0));
}

#pragma GCC diagnostic pop

/* Objects of a context are destroyed with it. */
static void destruction(void)
{
    CUcontext keeper = create(), victim = create();
    CUdeviceptr memory;
    void *host;
    CUstream stream;

    OK(cuCtxPopCurrent(NULL));
    size_t before = free_bytes();
    OK(cuCtxPushCurrent(victim));
    OK(cuMemAlloc(&memory, 64 * MIB));
    OK(cuMemAllocHost(&host, 4096));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemsetD8Async(memory, 1, 64 * MIB, stream));
    OK(cuCtxDestroy(victim));
    CUcontext got;
    OK(cuCtxGetCurrent(&got));
    CHECK(got == keeper); /* popped, as it was current */
    CHECK(free_bytes() >= before);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(memory));
    FAILS(cuCtxDestroy(victim));
    OK(cuCtxDestroy(keeper));
}

static void primary(void)
{
    CUcontext first, second, got;
    CUdeviceptr memory;
    unsigned flags;
    int active;

    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(!active);
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuDevicePrimaryCtxRelease(0));
    OK(cuDevicePrimaryCtxRetain(&first, 0));
    OK(cuDevicePrimaryCtxRetain(&second, 0));
    CHECK(first == second);
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active);
    OK(cuCtxSetCurrent(first));
    OK(cuMemAlloc(&memory, 4096));
    OK(cuDevicePrimaryCtxRelease(0));
    OK(cuMemcpyDtoH(&flags, memory, sizeof flags));
    OK(cuDevicePrimaryCtxRelease(0));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(!active);
    FAILS(cuMemFree(memory)); /* the context is gone, though still on the stack */
    OK(cuCtxPopCurrent(&got));

    OK(cuDevicePrimaryCtxRetain(&first, 0));
    OK(cuCtxSetCurrent(first));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(memory)); /* a stale pointer */
    OK(cuMemAlloc(&memory, 4096));
    OK(cuDevicePrimaryCtxReset(0));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(!active);
    OK(cuDevicePrimaryCtxRetain(&second, 0)); /* reset, and in use again */
    OK(cuCtxSetCurrent(second));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(memory));
    OK(cuMemAlloc(&memory, 4096));
    OK(cuMemFree(memory));
    OK(cuCtxSetCurrent(NULL));
    OK(cuDevicePrimaryCtxRelease(0));
    OK(cuDevicePrimaryCtxRelease(0));
}

/* Without exec, CUDA does not work in a child of a process that has used it. */
static void after_fork(void)
{
    pid_t child = fork();

    if (!child) {
        CUdeviceptr memory;

        _exit(cuMemAlloc(&memory, 16) == CUDA_SUCCESS || cuInit(0) == CUDA_SUCCESS);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    int count;
    char name[256];

    before_init();
    if (cuInit(0) != CUDA_SUCCESS) {
        printf("skip: no CUDA device\n");
        return 77;
    }
    OK(cuDeviceGetCount(&count));
    CHECK(count >= 1);
    OK(cuDeviceGetName(name, sizeof name, 0));
    if (simulated())
        CHECK(strstr(name, "simulated"));
    stack();
    attachments();
    destruction();
    primary();
    after_fork();
    return 0;
}
