/* SPDX-License-Identifier: MIT */
/*
 * Memory of a graph's nodes counts from each launch to each free: by a node, by cudaFreeAsync, by
 * cudaFree, by another graph, by the next launch of a graph that frees first; not during a capture,
 * and beyond the end of the graph. A graph in a graph is like one.
 */
#include "held.h"

static CUstream stream;

/* Memory that the device keeps for graphs is trimmed, so that memory held equals memory in use. */
static void held_by_graphs(const char *when)
{
    report("wait", DRIVER(cuStreamSynchronize)(stream));
    for (int i = 0; i < HELD_DEVICES; i++)
        DRIVER(cuDeviceGraphMemTrim)(i);
    held(when);
}

static CUgraph capture(void **ret_pointer, size_t pages, bool frees)
{
    CUgraph graph = NULL;

    route_report("capture", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    route_report("memory", route_allocate_async(ret_pointer, pages * PAGE, stream));
    if (frees)
        route_report("free", route_free_async(*ret_pointer, stream));
    route_report("end", route_capture_end(stream, &graph));
    return graph;
}

#if CUDA_VERSION >= 12000
#define INSTANTIATE(exec, graph, flags) DRIVER(cuGraphInstantiate)(exec, graph, flags)
#else
#define INSTANTIATE(exec, graph, flags) DRIVER(cuGraphInstantiate)(exec, graph, NULL, NULL, 0)
#endif

static CUgraphExec executable(CUgraph graph, unsigned flags)
{
    CUgraphExec exec = NULL;
    int error = route_is_runtime ? (int)route_runtime.cudaGraphInstantiateWithFlags(
                                       (cudaGraphExec_t *)&exec, (cudaGraph_t)graph, flags)
                                 : (int)INSTANTIATE(&exec, graph, flags);

    route_report("instantiate", error);
    return exec;
}

static void launch(CUgraphExec exec)
{
    route_report("launch", route_is_runtime ? (int)route_runtime.cudaGraphLaunch(
                                                  (cudaGraphExec_t)exec, (cudaStream_t)stream)
                                            : (int)DRIVER(cuGraphLaunch)(exec, stream));
}

static void drop(CUgraphExec exec, CUgraph graph)
{
    report("destroy", DRIVER(cuGraphExecDestroy)(exec));
    report("destroy", DRIVER(cuGraphDestroy)(graph));
}

static void freed_inside(void)
{
    void *pointer;
    CUgraph graph = capture(&pointer, 4, true);

    held("captured");
    CUgraphExec exec = executable(graph, 0);
    held("instantiated");
    launch(exec);
    launch(exec);
    held_by_graphs("launched twice");
    drop(exec, graph);
    held_by_graphs("destroyed");
}

static void freed_outside(void)
{
    void *pointer;
    CUgraph graph = capture(&pointer, 4, false);
    CUgraphExec exec = executable(graph, 0);

    launch(exec);
    held_by_graphs("launched");
    launch(exec);
    held_by_graphs("refused");
    route_report("last error", route_last_error() ? 1 : 0);
    route_report("free", route_free_async(pointer, stream));
    held_by_graphs("freed in order");
    launch(exec);
    held_by_graphs("launched");
    route_report("free", route_free(pointer));
    held_by_graphs("freed");
    launch(exec);
    drop(exec, graph);
    held_by_graphs("destroyed while it is held");
    route_report("free", route_free_async(pointer, stream));
    held_by_graphs("freed");
}

static void freed_by_launch(void)
{
    void *pointer;
    CUgraph graph = capture(&pointer, 4, false);
    CUgraphExec exec = executable(graph, CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);

    for (int i = 0; i < 3; i++) {
        launch(exec);
        held_by_graphs("launched");
    }
    drop(exec, graph);
    held_by_graphs("destroyed while it is held");
    route_report("free", route_free(pointer));
    held_by_graphs("freed");
}

static void freed_by_another(void)
{
    void *pointer;
    CUgraph giving = NULL, taking = capture(&pointer, 5, false);

    route_report("capture", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    route_report("free", route_free_async(pointer, stream));
    route_report("end", route_capture_end(stream, &giving));
    CUgraphExec takes = executable(taking, 0), gives = executable(giving, 0);
    launch(takes);
    held_by_graphs("taken");
    launch(gives);
    held_by_graphs("given");
    drop(takes, taking);
    drop(gives, giving);
}

static CUmemPoolProps on_device(int device)
{
    return pool_of(CU_MEM_LOCATION_TYPE_DEVICE, device);
}

static void of_another_device(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS wanted = {.poolProps = on_device(1), .bytesize = 6 * PAGE};
    CUgraphNode node;
    CUgraph graph = NULL;

    report("graph", DRIVER(cuGraphCreate)(&graph, 0));
    report("memory of the other", DRIVER(cuGraphAddMemAllocNode)(&node, graph, NULL, 0, &wanted));
    held("added");
    CUgraphExec exec = executable(graph, 0);
    launch(exec);
    held_by_graphs("launched");
    report("free", DRIVER(cuMemFreeAsync)(wanted.dptr, stream));
    held_by_graphs("freed");
    drop(exec, graph);
}

/* Of one device, the other, and the first again: more than half of the first one. */
static void of_both_devices(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS wanted[3];
    CUgraphNode node;
    CUgraph graph = NULL;

    report("graph", DRIVER(cuGraphCreate)(&graph, 0));
    for (int i = 0; i < 3; i++) {
        wanted[i] = (CUDA_MEM_ALLOC_NODE_PARAMS){.poolProps = on_device(i % 2),
                                                 .bytesize = 150 * PAGE};
        report("memory", DRIVER(cuGraphAddMemAllocNode)(&node, graph, NULL, 0, &wanted[i]));
    }
    CUgraphExec exec = executable(graph, 0);
    launch(exec);
    held_by_graphs("launched on both");
    for (int i = 0; i < 3; i++)
        report("free", DRIVER(cuMemFreeAsync)(wanted[i].dptr, stream));
    held_by_graphs("freed");
    drop(exec, graph);
}

static void in_a_graph(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS wanted = {.poolProps = on_device(0), .bytesize = 3 * PAGE};
    CUgraphNode node;
    CUgraph child = NULL, graph = NULL;

    report("graph", DRIVER(cuGraphCreate)(&child, 0));
    report("memory", DRIVER(cuGraphAddMemAllocNode)(&node, child, NULL, 0, &wanted));
    report("graph", DRIVER(cuGraphCreate)(&graph, 0));
    CUresult added = DRIVER(cuGraphAddChildGraphNode)(&node, graph, NULL, 0, child);
    report("child", added);
    if (added == CUDA_SUCCESS) {
        CUgraphExec exec = executable(graph, 0);

        launch(exec);
        held_by_graphs("launched");
        report("free", DRIVER(cuMemFree)(wanted.dptr));
        held_by_graphs("freed");
        report("destroy", DRIVER(cuGraphExecDestroy)(exec));
    }
    report("destroy", DRIVER(cuGraphDestroy)(graph));
    report("destroy", DRIVER(cuGraphDestroy)(child));
}

/* The other device has just enough, if all that was freed there is given back. */
static void in_what_was_freed(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS wanted = {.poolProps = on_device(1), .bytesize = 6 * PAGE};
    CUmemAllocationProp rest = physical_of(CU_MEM_LOCATION_TYPE_DEVICE, 1);
    CUmemGenericAllocationHandle handle = 0;
    CUgraphNode node;
    CUgraph graph = NULL;
    void *freed[4];

    report("graph", DRIVER(cuGraphCreate)(&graph, 0));
    report("memory of the other", DRIVER(cuGraphAddMemAllocNode)(&node, graph, NULL, 0, &wanted));
    CUgraphExec exec = executable(graph, 0);
    DRIVER(cuCtxSetCurrent)(held_contexts[1]);
    for (int i = 0; i < 4; i++)
        route_report("ordinary", route_allocate(&freed[i], 3 * PAGE));
    for (int i = 0; i < 4; i++)
        route_report("free", route_free(freed[i]));
    report("all but six pages", DRIVER(cuMemCreate)(&handle, free_now() - 6 * PAGE, &rest, 0));
    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
    launch(exec);
    report("wait", DRIVER(cuStreamSynchronize)(stream));
    report("release", DRIVER(cuMemRelease)(handle));
    held_by_graphs("launched into what was freed");
    report("free", DRIVER(cuMemFree)(wanted.dptr));
    held_by_graphs("freed");
    drop(exec, graph);
}

/* More than the device has: captured, made executable, and refused when it is launched. */
static void too_large(void)
{
    void *pointer;
    CUgraph graph = capture(&pointer, 1024, false);
    CUgraphExec exec = executable(graph, 0);

    held("captured too large");
    launch(exec);
    route_report("last error", route_last_error());
    held_by_graphs("launched too large");
    drop(exec, graph);
}

int program_held_graph(const char *self, const char *route, const char *argument)
{
    held_needs_graphs();
    held_start();
    route_report("stream", route_stream_create(&stream));
    freed_inside();
    freed_outside();
    freed_by_launch();
    freed_by_another();
    if (DRIVER(cuGraphAddMemAllocNode)) {
        of_another_device();
        of_both_devices();
        in_a_graph();
        in_what_was_freed();
    }
    too_large();
    held_by_graphs("in the end");
    return 0;
}
