/* SPDX-License-Identifier: MIT */
/*
 * What waits for what: default streams, blocking and other streams, events, host functions, and the
 * calls that wait on the host. With the simulation "in flight" is certain; on hardware the parts
 * that need it are skipped.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static CUdeviceptr memory;
static char *pinned;

/* Each value has a place of its own, so that streams without order do not race for it. */
static void fill(CUstream stream, unsigned char value)
{
    OK(cuMemsetD8Async(memory + value * 64 * KIB, value, 64 * KIB, stream));
}

static void append(void *data)
{
    char **at = data;

    *(*at)++ = 'x';
}

static void host_functions(CUstream stream)
{
    char text[8] = {0}, *at = text;

    OK(cuLaunchHostFunc(stream, append, &at));
    OK(cuLaunchHostFunc(stream, append, &at));
    OK(cuStreamSynchronize(stream));
    CHECK(!strcmp(text, "xx"));
}

/* A pageable source may change as soon as the call returns. */
static void pageable_source(CUstream stream)
{
    static unsigned char source[MIB], back[MIB];

    memset(source, 3, sizeof source);
    if (simulated())
        hold(stream);
    OK(cuMemcpyHtoDAsync(memory, source, MIB, stream));
    memset(source, 4, sizeof source);
    if (simulated())
        release(stream);
    OK(cuStreamSynchronize(stream));
    OK(cuMemcpyDtoH(back, memory, MIB));
    CHECK(back[0] == 3 && back[MIB - 1] == 3);
}

static void events(CUstream a, CUstream b)
{
    CUevent event, timed[2];
    float ms;

    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    OK(cuEventQuery(event)); /* never recorded: complete */
    OK(cuEventSynchronize(event));
    OK(cuEventRecord(event, a));
    OK(cuEventSynchronize(event));
    OK(cuEventQuery(event));
    OK(cuEventCreate(&timed[0], CU_EVENT_DEFAULT));
    OK(cuEventCreate(&timed[1], CU_EVENT_DEFAULT));
    EXPECT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, timed[0], timed[1]));
    OK(cuEventRecord(timed[0], a));
    fill(a, 1);
    OK(cuEventRecord(timed[1], a));
    OK(cuEventSynchronize(timed[1]));
    OK(cuEventElapsedTime(&ms, timed[0], timed[1]));
    CHECK(ms >= 0);
    EXPECT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, event, timed[1]));
    OK(cuStreamWaitEvent(b, event, 0));
    OK(cuEventDestroy(timed[0]));
    OK(cuEventDestroy(timed[1]));
    OK(cuEventDestroy(event));
}

static void in_flight(CUstream a, CUstream b)
{
    CUevent event;

    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    hold(a);
    OK(cuMemsetD8Async(memory, 1, 64, a));
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(a));
    OK(cuEventRecord(event, a));
    EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    OK(cuStreamQuery(b)); /* another stream is not concerned */
    OK(cuStreamWaitEvent(b, event, 0));
    OK(cuMemsetD8Async(memory, 2, 64, b));
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(b));
    /* A wait covers work recorded before its submission. */
    OK(cuEventRecord(event, b));
    release(a);
    OK(cuEventSynchronize(event));
    OK(cuStreamQuery(a));
    OK(cuStreamQuery(b));
    unsigned char value;
    OK(cuMemcpyDtoH(&value, memory, 1));
    CHECK(value == 2);

    /* An event that is destroyed while pending does no harm. */
    hold(a);
    fill(a, 3);
    OK(cuEventRecord(event, a));
    OK(cuEventDestroy(event));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    OK(cuEventQuery(event));
    release(a);
    OK(cuStreamSynchronize(a));
    OK(cuEventQuery(event));
    OK(cuEventDestroy(event));
}

static void default_streams(CUstream blocking, CUstream other)
{
    hold(blocking);
    fill(blocking, 1);
    fill(NULL, 2); /* the legacy stream waits for blocking streams ... */
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(CU_STREAM_LEGACY));
    fill(other, 3);
    OK(cuStreamSynchronize(other)); /* ... and non-blocking ones for nobody */
    fill(CU_STREAM_PER_THREAD, 4);
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(CU_STREAM_PER_THREAD));
    release(blocking);
    OK(cuCtxSynchronize());

    hold(NULL);
    fill(NULL, 5);
    fill(blocking, 6); /* blocking streams wait for the legacy one */
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(blocking));
    fill(other, 7);
    OK(cuStreamSynchronize(other));
    release(NULL);
    OK(cuCtxSynchronize());
    OK(cuStreamQuery(NULL));
}

struct waiter {
    CUcontext ctx;
    CUdeviceptr address;
    void *buffer;
    atomic_int entered, left;
    CUresult (*call)(struct waiter *);
};

static CUresult call_free(struct waiter *self)
{
    return cuMemFree(self->address);
}

static CUresult call_copy_back(struct waiter *self)
{
    return cuMemcpyDtoH(self->buffer, self->address, 16);
}

static CUresult call_synchronize(struct waiter *self)
{
    return cuCtxSynchronize();
}

static void *waiter_main(void *argument)
{
    struct waiter *self = argument;

    OK(cuCtxSetCurrent(self->ctx));
    self->entered = 1;
    OK(self->call(self));
    self->left = 1;
    return NULL;
}

/* The call does not return while work that it has to wait for is held. */
static void waits(CUcontext ctx, CUstream stream, CUresult (*call)(struct waiter *))
{
    char buffer[16];
    struct waiter waiter = {.ctx = ctx, .buffer = buffer, .call = call};
    pthread_t thread;

    OK(cuMemAlloc(&waiter.address, 4096));
    hold(stream);
    fill(stream, 1);
    CHECK(!pthread_create(&thread, NULL, waiter_main, &waiter));
    while (!waiter.entered)
        usleep(100);
    usleep(20000); /* only gives a wrong driver the time to show it */
    CHECK(!waiter.left);
    release(stream);
    pthread_join(thread, NULL);
    CHECK(waiter.left);
    if (call != call_free)
        OK(cuMemFree(waiter.address));
}

static void does_not_wait(CUstream held)
{
    CUdeviceptr other;

    OK(cuMemAlloc(&other, 4096));
    hold(held);
    fill(held, 1);
    CUdeviceptr more;
    OK(cuMemAlloc(&more, 4096));
    OK(cuMemcpyHtoDAsync(other, pinned, 64, held));
    OK(cuMemcpyDtoHAsync(pinned, other, 64, held));
    OK(cuMemsetD8Async(other, 1, 64, held));
    OK(cuMemcpyDtoDAsync(other, more, 64, held));
    release(held);
    OK(cuMemFree(other));
    OK(cuMemFree(more));
}

static void context_event(CUcontext ctx, CUstream a, CUstream b)
{
    CUresult (*record)(CUcontext,
                       CUevent) = (CUresult(*)(CUcontext, CUevent))control("cuCtxRecordEvent");
    CUevent event;

    if (!record)
        return;
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    CUresult result = record(ctx, event);
    if (result == CUDA_ERROR_NOT_SUPPORTED)
        return;
    OK(result);
    OK(cuEventSynchronize(event));
    if (simulated()) {
        hold(a);
        hold(b);
        fill(a, 1);
        fill(b, 2);
        OK(record(ctx, event));
        EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
        release(a);
        OK(cuStreamSynchronize(a));
        EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
        fill(a, 3); /* later work does not count */
        release(b);
        OK(cuEventSynchronize(event));
    }
    OK(cuEventDestroy(event));
}

int main(void)
{
    CUcontext ctx = start();
    CUstream blocking, a, b;
    unsigned flags;
    unsigned long long id_a, id_b;

    OK(cuMemAlloc(&memory, MIB));
    OK(cuMemAllocHost((void **)&pinned, MIB));
    OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreateWithPriority(&b, CU_STREAM_NON_BLOCKING, -1));
    OK(cuStreamGetFlags(a, &flags));
    CHECK(flags == CU_STREAM_NON_BLOCKING);
    OK(cuStreamGetId(a, &id_a));
    OK(cuStreamGetId(b, &id_b));
    CHECK(id_a != id_b);
    host_functions(a);
    pageable_source(a);
    events(a, b);
    context_event(ctx, a, b);
    if (simulated()) {
        in_flight(a, b);
        default_streams(blocking, a);
        waits(ctx, a, call_free);
        waits(ctx, a, call_synchronize);
        waits(ctx, blocking, call_copy_back);
        does_not_wait(a);
    }
    OK(cuStreamDestroy(a));
    OK(cuStreamDestroy(b));
    OK(cuStreamDestroy(blocking));
    OK(cuMemFree(memory));
    OK(cuMemFreeHost(pinned));
    return 0;
}
