/* SPDX-License-Identifier: MIT */
/*
 * Graphs: built by hand and by capture, launched, updated, cloned; memory nodes.
 */
#include "tests/simgpu/tests/driver/support.h"

static CUstream stream;
static CUdeviceptr memory;
static CUcontext ctx;

static unsigned char at(size_t offset)
{
    unsigned char value;

    OK(cuStreamSynchronize(stream));
    OK(cuMemcpyDtoH(&value, memory + offset, 1));
    return value;
}

static CUDA_MEMSET_NODE_PARAMS fill(size_t offset, unsigned value)
{
    return (CUDA_MEMSET_NODE_PARAMS){
        .dst = memory + offset, .value = value, .elementSize = 1, .width = 64, .height = 1};
}

static CUDA_MEMCPY3D move(size_t to, size_t from)
{
    return (CUDA_MEMCPY3D){.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                           .srcDevice = memory + from,
                           .srcPitch = 64,
                           .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                           .dstDevice = memory + to,
                           .dstPitch = 64,
                           .WidthInBytes = 64,
                           .Height = 1,
                           .Depth = 1};
}

static void count(void *data)
{
    ++*(int *)data;
}

static void by_hand(void)
{
    CUgraph graph, copy;
    CUgraphExec exec;
    CUgraphNode nodes[3], found;
    CUgraphNodeType type;
    int called = 0;
    CUDA_MEMSET_NODE_PARAMS set = fill(0, 5), got;
    CUDA_MEMCPY3D box = move(64, 0);
    CUDA_HOST_NODE_PARAMS host = {count, &called};

    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemsetNode(&nodes[0], graph, NULL, 0, &set, ctx));
    OK(cuGraphAddMemcpyNode(&nodes[1], graph, &nodes[0], 1, &box, ctx));
    OK(cuGraphAddHostNode(&nodes[2], graph, &nodes[1], 1, &host));
    OK(cuGraphNodeGetType(nodes[1], &type));
    CHECK(type == CU_GRAPH_NODE_TYPE_MEMCPY);
    OK(cuGraphMemsetNodeGetParams(nodes[0], &got));
    CHECK(got.dst == set.dst && got.value == 5 && got.width == 64);
    size_t deps;
    OK(cuGraphNodeGetDependencies(nodes[1], NULL, NULL, &deps));
    CHECK(deps == 1);

    OK(cuGraphInstantiate(&exec, graph, 0));
    CHECK(called == 0);
    for (int i = 1; i <= 3; i++) {
        OK(cuMemsetD8Async(memory, 0, 256, stream));
        OK(cuGraphLaunch(exec, stream));
        CHECK(at(64) == 5 && called == i);
    }

    /* The executable graph is a snapshot; it is changed through its own calls. */
    set = fill(0, 6);
    OK(cuGraphMemsetNodeSetParams(nodes[0], &set));
    OK(cuGraphLaunch(exec, stream));
    CHECK(at(64) == 5);
    OK(cuGraphExecMemsetNodeSetParams(exec, nodes[0], &set, ctx));
    OK(cuGraphLaunch(exec, stream));
    CHECK(at(64) == 6);
    CUgraphExecUpdateResultInfo info;
    set = fill(0, 7);
    OK(cuGraphMemsetNodeSetParams(nodes[0], &set));
    OK(cuGraphExecUpdate(exec, graph, &info));
    CHECK(info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
    OK(cuGraphLaunch(exec, stream));
    CHECK(at(64) == 7);
    OK(cuGraphNodeSetEnabled(exec, nodes[2], 0));
    int before = called;
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(called == before);

    OK(cuGraphClone(&copy, graph));
    OK(cuGraphNodeFindInClone(&found, nodes[2], copy));
    CHECK(found != nodes[2]);
    OK(cuGraphDestroyNode(nodes[2]));
    EXPECT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate(exec, graph, &info));
    OK(cuGraphDestroy(copy));

    /* Destroyed while a launch is pending. */
    if (simulated())
        hold(stream);
    OK(cuMemsetD8Async(memory, 0, 256, stream));
    OK(cuGraphLaunch(exec, stream));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    if (simulated())
        release(stream);
    CHECK(at(64) == 7);
}

static void cycles(void)
{
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode a, b;

    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddEmptyNode(&a, graph, NULL, 0));
    OK(cuGraphAddEmptyNode(&b, graph, &a, 1));
    if (cuGraphAddDependencies(graph, &b, &a, NULL, 1) == CUDA_SUCCESS)
        FAILS(cuGraphInstantiate(&exec, graph, 0));
    OK(cuGraphDestroy(graph));
}

static void captured(void)
{
    CUgraph graph;
    CUgraphExec exec;
    CUevent event;

    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemsetD8Async(memory, 9, 64, stream));
    OK(cuEventRecordWithFlags(event, stream, CU_EVENT_RECORD_EXTERNAL));
    OK(cuMemcpyDtoDAsync(memory + 128, memory, 64, stream));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiate(&exec, graph, 0));
    OK(cuGraphDestroy(graph));
    OK(cuGraphUpload(exec, stream));
    OK(cuGraphLaunch(exec, stream));
    OK(cuEventSynchronize(event));
    CHECK(at(128) == 9);

    /* A launch inside a capture becomes a child graph. */
    CUgraphNode node;
    CUgraphNodeType type;
    size_t one = 1;
    OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphGetNodes(graph, &node, &one));
    OK(cuGraphNodeGetType(node, &type));
    CHECK(one == 1 && type == CU_GRAPH_NODE_TYPE_GRAPH);
    CUgraphExec outer;
    OK(cuGraphInstantiate(&outer, graph, 0));
    OK(cuMemsetD8Async(memory, 0, 256, stream));
    OK(cuGraphLaunch(outer, stream));
    CHECK(at(128) == 9);
    OK(cuGraphExecDestroy(outer));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuEventDestroy(event));
}

static void memory_nodes(void)
{
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr inside;

    OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemAllocAsync(&inside, 4 * MIB, stream));
    OK(cuMemsetD8Async(inside, 3, 4 * MIB, stream));
    OK(cuMemcpyDtoDAsync(memory, inside, 64, stream));
    OK(cuMemFreeAsync(inside, stream));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 2; i++) {
        OK(cuMemsetD8Async(memory, 0, 64, stream));
        OK(cuGraphLaunch(exec, stream));
        CHECK(at(0) == 3);
    }
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));

    /* Allocated by the graph, freed outside of it. */
    OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemAllocAsync(&inside, MIB, stream));
    OK(cuMemsetD8Async(inside, 8, MIB, stream));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiate(&exec, graph, 0));
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, stream)); /* still allocated */
    unsigned char value;
    OK(cuMemcpyDtoH(&value, inside + MIB - 1, 1));
    CHECK(value == 8);
    OK(cuMemFreeAsync(inside, stream));
    OK(cuStreamSynchronize(stream));
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    OK(cuMemFree(inside));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuDeviceGraphMemTrim(0));
}

int main(void)
{
    ctx = start();
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemAlloc(&memory, 256));
    by_hand();
    cycles();
    captured();
    memory_nodes();
    return 0;
}
