/* SPDX-License-Identifier: MIT */
/*
 * Memory that belongs to a graph: its address is fixed when the node is made, so later nodes may
 * use it at once; it is there from the allocation node to the free node of each launch.
 */
#include "tests/simgpu/tests/runtime/support.h"

enum { BYTES = 512 };

static unsigned char *pinned;
static cudaStream_t stream;

static void run_twice(cudaGraphExec_t exec, int expected)
{
    for (int i = 0; i < 2; i++) {
        pinned[0] = 0;
        OK(cudaGraphLaunch(exec, stream));
        OK(cudaStreamSynchronize(stream));
        EQUAL(pinned[0], expected);
    }
}

static void test_memory_nodes(void)
{
    struct cudaMemAllocNodeParams wanted = {
        .poolProps = {.allocType = cudaMemAllocationTypePinned,
                      .location = {.type = cudaMemLocationTypeDevice, .id = 0}},
        .bytesize = BYTES,
    };
    struct cudaMemsetParams fill = {.value = 4, .elementSize = 1, .width = BYTES, .height = 1};
    cudaGraphNode_t nodes[4];
    cudaGraph_t graph;
    cudaGraphExec_t exec;

    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphAddMemAllocNode(&nodes[0], graph, NULL, 0, &wanted));
    CHECK(wanted.dptr);
    fill.dst = wanted.dptr;
    OK(cudaGraphAddMemsetNode(&nodes[1], graph, &nodes[0], 1, &fill));
    OK(cudaGraphAddMemcpyNode1D(&nodes[2], graph, &nodes[1], 1, pinned, wanted.dptr, BYTES,
                                cudaMemcpyDeviceToHost));
    OK(cudaGraphAddMemFreeNode(&nodes[3], graph, &nodes[2], 1, wanted.dptr));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    run_twice(exec, 4);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
    OK(cudaDeviceGraphMemTrim(0));
}

static void test_captured(void)
{
    void *pointer = NULL;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec;
    size_t nodes = 0;

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    OK(cudaMallocAsync(&pointer, BYTES, stream));
    OK(cudaMemsetAsync(pointer, 6, BYTES, stream));
    OK(cudaMemcpyAsync(pinned, pointer, BYTES, cudaMemcpyDeviceToHost, stream));
    OK(cudaFreeAsync(pointer, stream));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphGetNodes(graph, NULL, &nodes));
    EQUAL(nodes, 4);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    run_twice(exec, 6);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

/* Memory that the graph leaves allocated: freed in stream order right after the launch, and
 * launched again, without a synchronisation between. */
static void test_relaunch(void)
{
    struct cudaMemAllocNodeParams wanted = {
        .poolProps = {.allocType = cudaMemAllocationTypePinned,
                      .location = {.type = cudaMemLocationTypeDevice, .id = 0}},
        .bytesize = BYTES,
    };
    unsigned long long used = 1, high = 0, reserved_high = 0, zero = 0, one = 1;
    cudaGraphNode_t node;
    cudaGraph_t graph;
    cudaGraphExec_t exec;

    OK(cudaDeviceGraphMemTrim(0));
    OK(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &zero));
    OK(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrReservedMemHigh, &zero));
    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphAddMemAllocNode(&node, graph, NULL, 0, &wanted));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    EQUAL(cudaFreeAsync(wanted.dptr, stream), cudaErrorInvalidValue);
    for (int i = 0; i < 100; i++) {
        OK(cudaGraphLaunch(exec, stream));
        if (i == 50)
            EQUAL(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
        OK(cudaFreeAsync(wanted.dptr, stream));
        if (i == 50)
            EQUAL(cudaFreeAsync(wanted.dptr, stream), cudaErrorInvalidValue);
    }
    OK(cudaStreamSynchronize(stream));
    OK(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrUsedMemCurrent, &used));
    OK(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &high));
    OK(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrReservedMemHigh, &reserved_high));
    EQUAL(used, 0);
    CHECK(high >= BYTES && reserved_high >= high);
    EQUAL(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &one),
          cudaErrorInvalidValue);
    OK(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &zero));
    OK(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &high));
    EQUAL(high, 0);
    /* cudaFree of a launch that may not have run yet, and once more after another launch. */
    for (int i = 0; i < 2; i++) {
        OK(cudaGraphLaunch(exec, stream));
        OK(cudaFree(wanted.dptr));
        EQUAL(cudaFree(wanted.dptr), cudaErrorInvalidValue);
    }
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
}

int main(void)
{
    OK(cudaMallocHost((void **)&pinned, BYTES));
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    test_memory_nodes();
    test_captured();
    test_relaunch();
    OK(cudaStreamDestroy(stream));
    OK(cudaFreeHost(pinned));
    return check_done();
}
