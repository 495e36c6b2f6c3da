/* SPDX-License-Identifier: MIT */
/*
 * Stream capture: recorded calls, refused calls, effects of a refusal on the capture.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <pthread.h>

static CUstream a, b, blocking;
static CUdeviceptr memory;

static void begin(CUstreamCaptureMode mode)
{
    OK(cuStreamBeginCapture(a, mode));
}

static CUgraph end(void)
{
    CUgraph graph;

    OK(cuStreamEndCapture(a, &graph));
    CHECK(graph);
    return graph;
}

static void end_invalid(void)
{
    CUgraph graph = (CUgraph)&graph;

    EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(a, &graph));
    CHECK(!graph);
}

static size_t node_count(CUgraph graph)
{
    size_t count;

    OK(cuGraphGetNodes(graph, NULL, &count));
    return count;
}

static CUstreamCaptureStatus status(CUstream stream)
{
    CUstreamCaptureStatus got;

    OK(cuStreamIsCapturing(stream, &got));
    return got;
}

static void simple(void)
{
    CHECK(status(a) == CU_STREAM_CAPTURE_STATUS_NONE);
    OK(cuMemsetD8(memory, 1, 1));
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    CHECK(status(a) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    OK(cuMemsetD8Async(memory, 2, MIB, a));
    OK(cuMemcpyDtoDAsync(memory + MIB, memory, MIB, a));
    EXPECT(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CUgraph graph = end();
    CHECK(status(a) == CU_STREAM_CAPTURE_STATUS_NONE);
    CHECK(node_count(graph) == 2);
    size_t edges;
    OK(cuGraphGetEdges(graph, NULL, NULL, NULL, &edges));
    CHECK(edges == 1);
    unsigned char value;
    OK(cuMemcpyDtoH(&value, memory, 1));
    CHECK(value == 1); /* nothing was executed */
    OK(cuGraphDestroy(graph));
    FAILS(cuStreamEndCapture(a, &graph));
    FAILS(cuStreamBeginCapture(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL));
}

/* Potentially unsafe calls: refused, and fatal for the capture, but not in relaxed mode. */
static void unsafe(void)
{
    CUdeviceptr more;

    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc(&more, 64));
    CHECK(status(a) == CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuMemsetD8Async(memory, 2, 1, a));
    end_invalid();

    begin(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc(&more, 64));
    end_invalid();

    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    OK(cuMemAlloc(&more, 64));
    OK(cuMemFree(more));
    OK(cuGraphDestroy(end()));

    /* The thread's own mode lets it through. */
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK(mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuMemAlloc(&more, 64));
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK(mode == CU_STREAM_CAPTURE_MODE_RELAXED);
    OK(cuGraphDestroy(end()));
    OK(cuMemFree(more));
}

/* Calls that conflict in every mode. */
static void conflicts(void)
{
    CUevent event;

    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(a));
    end_invalid();
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamQuery(a));
    end_invalid();
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuCtxSynchronize());
    end_invalid();
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    OK(cuEventRecord(event, a));
    FAILS(cuEventQuery(event));
    end_invalid();
    FAILS(cuEventQuery(event)); /* last recorded in a capture */
    OK(cuEventRecord(event, a));
    OK(cuEventSynchronize(event));
    CUresult (*record)(CUcontext,
                       CUevent) = (CUresult(*)(CUcontext, CUevent))control("cuCtxRecordEvent");
    CUcontext ctx;
    OK(cuCtxGetCurrent(&ctx));
    if (record && record(ctx, event) == CUDA_SUCCESS) {
        begin(CU_STREAM_CAPTURE_MODE_RELAXED);
        EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, record(ctx, event));
        end_invalid();
    }
    OK(cuEventDestroy(event));
}

static void legacy_stream(void)
{
    CUgraph graph;

    OK(cuStreamBeginCapture(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
    CUstreamCaptureStatus got;
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuStreamIsCapturing(CU_STREAM_LEGACY, &got));
    CHECK(status(blocking) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuMemsetD8Async(memory, 1, 1, NULL));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(blocking, &graph));
    /* A stream that does not block is no concern of the legacy stream's. */
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    OK(cuMemsetD8Async(memory, 1, 1, NULL));
    OK(cuGraphDestroy(end()));
}

static void fork_and_join(void)
{
    CUevent fork, join;
    CUgraph graph;
    CUstreamCaptureStatus got;
    cuuint64_t id_a, id_b;

    OK(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
    OK(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuMemsetD8Async(memory, 1, 16, a));
    OK(cuEventRecord(fork, a));
    OK(cuStreamWaitEvent(b, fork, 0));
    CHECK(status(b) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    OK(cuStreamGetCaptureInfo(a, &got, &id_a, NULL, NULL, NULL, NULL));
    OK(cuStreamGetCaptureInfo(b, &got, &id_b, NULL, NULL, NULL, NULL));
    CHECK(id_a == id_b);
    OK(cuMemsetD8Async(memory + 16, 2, 16, b));
    OK(cuMemsetD8Async(memory + 32, 3, 16, a));
    OK(cuEventRecord(join, b));
    OK(cuStreamWaitEvent(a, join, 0));
    OK(cuMemsetD8Async(memory + 48, 4, 16, a));
    graph = end();
    CHECK(status(b) == CU_STREAM_CAPTURE_STATUS_NONE);
    CHECK(node_count(graph) == 4);
    size_t edges, roots;
    OK(cuGraphGetEdges(graph, NULL, NULL, NULL, &edges));
    OK(cuGraphGetRootNodes(graph, NULL, &roots));
    CHECK(edges == 4 && roots == 1);
    OK(cuGraphDestroy(graph));

    /* Not joined; ended by another stream; dependent on outside work. */
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuEventRecord(fork, a));
    OK(cuStreamWaitEvent(b, fork, 0));
    OK(cuMemsetD8Async(memory, 2, 16, b));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(a, &graph));
    CHECK(status(b) == CU_STREAM_CAPTURE_STATUS_NONE);

    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuEventRecord(fork, a));
    OK(cuStreamWaitEvent(b, fork, 0));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, cuStreamEndCapture(b, &graph));
    end_invalid();

    OK(cuEventRecord(fork, b));
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, cuStreamWaitEvent(a, fork, 0));
    end_invalid();

    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuStreamBeginCapture(b, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuEventRecord(fork, a));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_MERGE, cuStreamWaitEvent(b, fork, 0));
    end_invalid();
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(b, &graph));
    OK(cuEventDestroy(fork));
    OK(cuEventDestroy(join));
}

struct other {
    CUcontext ctx;
    CUresult allocate, finish;
};

static void *other_main(void *argument)
{
    struct other *other = argument;
    CUdeviceptr more;
    CUgraph graph;

    OK(cuCtxSetCurrent(other->ctx));
    other->allocate = cuMemAlloc(&more, 64);
    if (other->allocate == CUDA_SUCCESS)
        OK(cuMemFree(more));
    other->finish = cuStreamEndCapture(a, &graph);
    return NULL;
}

static struct other from_another_thread(void)
{
    struct other other;
    pthread_t thread;

    OK(cuCtxGetCurrent(&other.ctx));
    CHECK(!pthread_create(&thread, NULL, other_main, &other));
    pthread_join(thread, NULL);
    return other;
}

static void threads(void)
{
    begin(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    struct other other = from_another_thread();
    EXPECT(CUDA_SUCCESS, other.allocate);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, other.finish);
    OK(cuGraphDestroy(end()));
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    other = from_another_thread();
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, other.allocate);
    end_invalid();
}

int main(void)
{
    start();
    OK(cuMemAlloc(&memory, 2 * MIB));
    OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    simple();
    unsafe();
    conflicts();
    legacy_stream();
    fork_and_join();
    threads();
    /* A stream that dies while it captures takes the capture along. */
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuStreamDestroy(a));
    OK(cuCtxSynchronize());
    return 0;
}
