/* SPDX-License-Identifier: MIT */
/*
 * Capture and graphs. Captured work does not run until the graph is launched; unsafe calls fail
 * and invalidate as the mode says; graphs built by hand do the same as captured ones.
 */
#include "tests/simgpu/tests/runtime/support.h"

enum { BYTES = 512 };

static unsigned char *device;
static unsigned char *pinned;
static cudaStream_t stream;

static unsigned char device_byte(void)
{
    unsigned char byte = 0;

    OK(cudaMemcpy(&byte, device + BYTES - 1, 1, cudaMemcpyDeviceToHost));
    return byte;
}

static void run(cudaGraphExec_t exec)
{
    OK(cudaGraphLaunch(exec, stream));
    OK(cudaStreamSynchronize(stream));
}

static void test_capture(void)
{
    enum cudaStreamCaptureStatus status;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    size_t nodes = 0, edges = 0;

    OK(cudaMemset(device, 1, BYTES));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    OK(cudaStreamIsCapturing(stream, &status));
    EQUAL(status, cudaStreamCaptureStatusActive);
    OK(cudaMemsetAsync(device, 9, BYTES, stream));
    OK(cudaMemcpyAsync(pinned, device, BYTES, cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaStreamIsCapturing(stream, &status));
    EQUAL(status, cudaStreamCaptureStatusNone);
    EQUAL(device_byte(), 1);

    OK(cudaGraphGetNodes(graph, NULL, &nodes));
    EQUAL(nodes, 2);
    OK(cudaGraphGetEdges(graph, NULL, NULL, NULL, &edges));
    EQUAL(edges, 1);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    pinned[0] = 0;
    run(exec);
    EQUAL(pinned[0], 9);
    EQUAL(device_byte(), 9);
    OK(cudaMemset(device, 0, BYTES));
    OK(cudaDeviceSynchronize());
    run(exec);
    EQUAL(device_byte(), 9);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

/* A synchronising call during a global-mode capture fails and spoils the capture. */
static void test_unsafe_call(void)
{
    cudaGraph_t graph = (cudaGraph_t)&check_failures;
    void *pointer;

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    EXPECT(cudaErrorStreamCaptureUnsupported, cudaMalloc(&pointer, BYTES));
    EXPECT(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    CHECK(!graph);
    EXPECT(cudaErrorStreamCaptureInvalidated, cudaGetLastError());
}

static void test_relaxed_and_exchanged(void)
{
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    cudaGraph_t graph = NULL;
    void *pointer;

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    OK(cudaMalloc(&pointer, BYTES));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphDestroy(graph));
    OK(cudaFree(pointer));

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
    EQUAL(mode, cudaStreamCaptureModeGlobal);
    OK(cudaMalloc(&pointer, BYTES));
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
    EQUAL(mode, cudaStreamCaptureModeRelaxed);
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphDestroy(graph));
    OK(cudaFree(pointer));
}

static void count(void *calls)
{
    ++*(int *)calls;
}

static void test_built_by_hand(void)
{
    struct cudaMemsetParams fill = {
        .dst = device, .value = 5, .elementSize = 1, .width = BYTES, .height = 1};
    struct cudaHostNodeParams host = {.fn = count};
    struct cudaMemsetParams asked;
    cudaGraphNode_t nodes[4];
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    enum cudaGraphNodeType type;
    int calls = 0;

    host.userData = &calls;
    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphAddEmptyNode(&nodes[0], graph, NULL, 0));
    OK(cudaGraphAddMemsetNode(&nodes[1], graph, &nodes[0], 1, &fill));
    OK(cudaGraphAddMemcpyNode1D(&nodes[2], graph, &nodes[1], 1, pinned, device, BYTES,
                                cudaMemcpyDeviceToHost));
    OK(cudaGraphAddHostNode(&nodes[3], graph, &nodes[2], 1, &host));
    OK(cudaGraphNodeGetType(nodes[2], &type));
    EQUAL(type, cudaGraphNodeTypeMemcpy);
    OK(cudaGraphMemsetNodeGetParams(nodes[1], &asked));
    EQUAL(asked.value, 5);
    CHECK(asked.dst == device);

    OK(cudaGraphInstantiateWithFlags(&exec, graph, 0));
    run(exec);
    EQUAL(calls, 1);
    EQUAL(pinned[BYTES - 1], 5);

    fill.value = 6;
    OK(cudaGraphExecMemsetNodeSetParams(exec, nodes[1], &fill));
    run(exec);
    EQUAL(calls, 2);
    EQUAL(pinned[0], 6);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

static void test_clone_and_update(void)
{
    struct cudaMemsetParams fill = {
        .dst = device, .value = 7, .elementSize = 1, .width = BYTES, .height = 1};
    cudaGraphExecUpdateResultInfo info;
    cudaGraph_t graph, clone;
    cudaGraphNode_t node, twin;
    cudaGraphExec_t exec;

    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphAddMemsetNode(&node, graph, NULL, 0, &fill));
    OK(cudaGraphClone(&clone, graph));
    OK(cudaGraphNodeFindInClone(&twin, node, clone));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    fill.value = 8;
    OK(cudaGraphMemsetNodeSetParams(twin, &fill));
    OK(cudaGraphExecUpdate(exec, clone, &info));
    EQUAL(info.result, cudaGraphExecUpdateSuccess);
    OK(cudaGraphUpload(exec, stream));
    run(exec);
    EQUAL(device_byte(), 8);

    OK(cudaGraphAddEmptyNode(&twin, clone, NULL, 0));
    EXPECT(cudaErrorGraphExecUpdateFailure, cudaGraphExecUpdate(exec, clone, &info));
    EQUAL(info.result, cudaGraphExecUpdateErrorTopologyChanged);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(clone));
    OK(cudaGraphDestroy(graph));
}

static void test_capture_to_graph(void)
{
    enum cudaStreamCaptureStatus status;
    unsigned long long id = 0;
    cudaGraph_t graph, captured = NULL;
    cudaGraphExec_t exec;

    OK(cudaGraphCreate(&graph, 0));
    OK(cudaStreamBeginCaptureToGraph(stream, graph, NULL, NULL, 0, cudaStreamCaptureModeRelaxed));
    OK(cudaMemsetAsync(device, 3, BYTES, stream));
    OK(cudaStreamGetCaptureInfo(stream, &status, &id, &captured, NULL, NULL, NULL));
    EQUAL(status, cudaStreamCaptureStatusActive);
    CHECK(captured == graph && id != 0);
    OK(cudaStreamEndCapture(stream, &captured));
    CHECK(captured == graph);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    run(exec);
    EQUAL(device_byte(), 3);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

int main(void)
{
    OK(cudaMalloc((void **)&device, BYTES));
    OK(cudaMallocHost((void **)&pinned, BYTES));
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    test_capture();
    test_unsafe_call();
    test_relaxed_and_exchanged();
    test_built_by_hand();
    test_clone_and_update();
    test_capture_to_graph();
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
    OK(cudaStreamDestroy(stream));
    return check_done();
}
