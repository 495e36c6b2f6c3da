/* SPDX-License-Identifier: MIT */
/*
 * Every kind of memory, freed by every function that accepts it, runtime or driver. Nothing is left
 * in the end.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "route.h"
#include "program.h"

#define BYTES   ((size_t)100000)
#define PAGE    ((size_t)2 << 20)
#define POINTER ((CUdeviceptr *)&pointer)
#define ADDRESS ((CUdeviceptr)(uintptr_t)pointer)

/* The families share the numbers of success alone, so a step is reported by its own family. */
static void report_driver(const char *step, CUresult result)
{
    const char *name = "?";

    DRIVER(cuGetErrorName)(result, &name);
    printf("%s: %s\n", step, name);
}

static void report_runtime(const char *step, cudaError_t result)
{
    printf("%s: %s\n", step, route_runtime.cudaGetErrorName(result));
}

static void linear(CUstream stream)
{
    void *pointer;

    route_report("ordinary", route_allocate(&pointer, BYTES));
    route_report("  free", route_free(pointer));
    route_report("ordinary", route_allocate(&pointer, BYTES));
    int error = route_free_async(pointer, stream);
    route_report("  free in order", error);
    if (error)
        route_free(pointer);
    route_report("in order", route_allocate_async(&pointer, BYTES, stream));
    route_report("  free in order", route_free_async(pointer, stream));
    route_report("in order", route_allocate_async(&pointer, BYTES, stream));
    route_report("  wait", route_stream_synchronize(stream));
    route_report("  free", route_free(pointer));
    route_report("managed", route_managed_allocate(&pointer, BYTES));
    route_report("  free", route_free(pointer));
    route_report("page-locked", route_host_allocate(&pointer, BYTES));
    route_report("  free", route_host_free(pointer));
    report_driver("page-locked, mapped", DRIVER(cuMemHostAlloc)(&pointer, BYTES, 2));
    report_driver("  free", DRIVER(cuMemFreeHost)(pointer));
    size_t pitch;
    report_driver("pitched", DRIVER(cuMemAllocPitch)(POINTER, &pitch, 1000, 10, 4));
    report_driver("  free", DRIVER(cuMemFree)(ADDRESS));
}

static void registered(void)
{
    void *pages = aligned_alloc(4096, 1 << 20);

    route_report("register", route_host_register(pages, 1 << 20));
    route_report("  unregister", route_host_unregister(pages));
    free(pages);
}

static CUmemPoolProps pool_properties(void)
{
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

    return properties;
}

static void pools(CUstream stream)
{
    CUmemPoolProps properties = pool_properties();
    CUmemoryPool pool;
    CUdeviceptr first, second;

    report_driver("pool", DRIVER(cuMemPoolCreate)(&pool, &properties));
    report_driver("  block", DRIVER(cuMemAllocFromPoolAsync)(&first, BYTES, pool, stream));
    report_driver("  block", DRIVER(cuMemAllocFromPoolAsync)(&second, BYTES, pool, stream));
    report_driver("  free", DRIVER(cuMemFreeAsync)(first, stream));
    report_driver("  destroy", DRIVER(cuMemPoolDestroy)(pool));
    report_driver("  wait", DRIVER(cuStreamSynchronize)(stream));
    report_driver("  free afterwards", DRIVER(cuMemFree)(second));
}

static void arrays(void)
{
    CUDA_ARRAY_DESCRIPTOR flat = {64, 32, CU_AD_FORMAT_FLOAT, 4};
    CUDA_ARRAY3D_DESCRIPTOR deep = {64, 32, 4, CU_AD_FORMAT_UNSIGNED_INT8, 1, 0};
    CUarray array;
    CUmipmappedArray levels;

    report_driver("array", DRIVER(cuArrayCreate)(&array, &flat));
    report_driver("  free", DRIVER(cuArrayDestroy)(array));
    report_driver("array of layers", DRIVER(cuArray3DCreate)(&array, &deep));
    report_driver("  free", DRIVER(cuArrayDestroy)(array));
    report_driver("mipmapped", DRIVER(cuMipmappedArrayCreate)(&levels, &deep, 3));
    report_driver("  free", DRIVER(cuMipmappedArrayDestroy)(levels));
}

/* Two pieces side by side that one call unmaps; a handle that is asked for again. */
static void mapped(void)
{
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemGenericAllocationHandle handles[2], again = 0;
    CUdeviceptr range;

    report_driver("reserve", DRIVER(cuMemAddressReserve)(&range, 2 * PAGE, 0, 0, 0));
    for (int i = 0; i < 2; i++) {
        report_driver("  create", DRIVER(cuMemCreate)(&handles[i], PAGE, &properties, 0));
        report_driver("  map", DRIVER(cuMemMap)(range + (size_t)i * PAGE, PAGE, 0, handles[i], 0));
    }
    report_driver("  unmap a part",
                  DRIVER(cuMemUnmap)(range, PAGE / 2) ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS);
    report_driver("  ask", DRIVER(cuMemRetainAllocationHandle)(&again, (void *)(uintptr_t)range));
    printf("  the same: %d\n", again == handles[0]);
    report_driver("  release", DRIVER(cuMemRelease)(handles[0]));
    report_driver("  release", DRIVER(cuMemRelease)(handles[1]));
    report_driver("  release", DRIVER(cuMemRelease)(again));
    report_driver("  unmap both", DRIVER(cuMemUnmap)(range, 2 * PAGE));
    report_driver("  free", DRIVER(cuMemAddressFree)(range, 2 * PAGE));
}

static void graph(CUstream stream)
{
    CUDA_MEM_ALLOC_NODE_PARAMS wanted = {.poolProps = pool_properties(), .bytesize = BYTES};
    CUgraphNode nodes[2];
    CUgraph whole, open;

    if (!DRIVER(cuGraphAddMemAllocNode))
        return; /* asked for by the version of an earlier release */
    report_driver("graph", DRIVER(cuGraphCreate)(&whole, 0));
    report_driver("  memory", DRIVER(cuGraphAddMemAllocNode)(&nodes[0], whole, NULL, 0, &wanted));
    report_driver("  free", DRIVER(cuGraphAddMemFreeNode)(&nodes[1], whole, nodes, 1, wanted.dptr));
    route_report("  run", route_graph_run(whole, stream));
    report_driver("  destroy", DRIVER(cuGraphDestroy)(whole));
    report_driver("graph", DRIVER(cuGraphCreate)(&open, 0));
    report_driver("  memory", DRIVER(cuGraphAddMemAllocNode)(&nodes[0], open, NULL, 0, &wanted));
    route_report("  run", route_graph_run(open, stream));
    report_driver("  free afterwards", DRIVER(cuMemFree)(wanted.dptr));
    report_driver("  destroy", DRIVER(cuGraphDestroy)(open));
}

#if CUDA_VERSION < 13000
#define ADD_NODE(node, graph, params) DRIVER(cuGraphAddNode)(node, graph, NULL, 0, params)
#else
#define ADD_NODE(node, graph, params) DRIVER(cuGraphAddNode)(node, graph, NULL, NULL, 0, params)
#endif

/* The same by the function for nodes of every kind. */
static void graph_of_nodes(CUstream stream)
{
    CUgraphNodeParams wanted = {.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC};
    CUgraphNodeParams unwanted = {.type = CU_GRAPH_NODE_TYPE_MEM_FREE};
    CUgraphNode node;
    CUgraph taking, giving;

    if (!DRIVER(cuGraphAddNode))
        return;
    wanted.alloc.poolProps = pool_properties();
    wanted.alloc.bytesize = BYTES;
    report_driver("graph", DRIVER(cuGraphCreate)(&taking, 0));
    report_driver("  memory", ADD_NODE(&node, taking, &wanted));
    unwanted.free.dptr = wanted.alloc.dptr;
    report_driver("graph", DRIVER(cuGraphCreate)(&giving, 0));
    report_driver("  free", ADD_NODE(&node, giving, &unwanted));
    route_report("  run", route_graph_run(taking, stream));
    route_report("  run", route_graph_run(giving, stream));
    report_driver("  destroy", DRIVER(cuGraphDestroy)(taking));
    report_driver("  destroy", DRIVER(cuGraphDestroy)(giving));
}

static void captured(CUstream stream)
{
    void *pointer;
    CUgraph recorded;

    route_report("capture", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    route_report("  memory", route_allocate_async(&pointer, BYTES, stream));
    route_report("  free", route_free_async(pointer, stream));
    route_report("  end", route_capture_end(stream, &recorded));
    route_report("  run", route_graph_run(recorded, stream));
    report_driver("  destroy", DRIVER(cuGraphDestroy)(recorded));
}

/* A free that a capture forbids, of memory that is freed all the same in the end. */
static void refused(CUstream stream)
{
    void *pointer, *other;
    CUgraph recorded = NULL;

    route_report("ordinary", route_allocate(&pointer, BYTES));
    route_report("managed", route_managed_allocate(&other, BYTES));
    route_report("capture", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    route_report("  free", route_free(pointer));
    route_report("  free", route_free(other));
    route_report("  end", route_capture_end(stream, &recorded));
    route_report("  last error", route_last_error());
    route_report("  free", route_free(pointer));
    route_report("  free", route_free(other));
}

/* Further functions of the runtime, and memory of each family freed by the other. */
static void runtime(CUstream stream)
{
    const struct cudaChannelFormatDesc format = {32, 0, 0, 0, cudaChannelFormatKindFloat};
    struct cudaPitchedPtr cube;
    void *pointer;
    size_t pitch;
    cudaArray_t array;
    cudaMipmappedArray_t levels;

    report_runtime("pitched", route_runtime.cudaMallocPitch(&pointer, &pitch, 1000, 10));
    report_runtime("  free", route_runtime.cudaFree(pointer));
    report_runtime("cube", route_runtime.cudaMalloc3D(&cube, (struct cudaExtent){100, 10, 3}));
    report_runtime("  free", route_runtime.cudaFree(cube.ptr));
    report_runtime("page-locked", route_runtime.cudaHostAlloc(&pointer, BYTES, 0));
    report_runtime("  free", route_runtime.cudaFreeHost(pointer));
    report_runtime("array", route_runtime.cudaMallocArray(&array, &format, 64, 32, 0));
    report_runtime("  free", route_runtime.cudaFreeArray(array));
    report_runtime("array of layers", route_runtime.cudaMalloc3DArray(
                                          &array, &format, (struct cudaExtent){64, 32, 4}, 0));
    report_runtime("  free", route_runtime.cudaFreeArray(array));
    report_runtime("mipmapped", route_runtime.cudaMallocMipmappedArray(
                                    &levels, &format, (struct cudaExtent){64, 32, 4}, 3, 0));
    report_runtime("  free", route_runtime.cudaFreeMipmappedArray(levels));

    report_runtime("ordinary", route_runtime.cudaMalloc(&pointer, BYTES));
    report_driver("  free", DRIVER(cuMemFree)(ADDRESS));
    report_driver("ordinary", DRIVER(cuMemAlloc)(POINTER, BYTES));
    report_runtime("  free", route_runtime.cudaFree(pointer));
    report_runtime("in order", route_runtime.cudaMallocAsync(&pointer, BYTES, stream));
    report_driver("  free in order", DRIVER(cuMemFreeAsync)(ADDRESS, stream));
    report_driver("managed", DRIVER(cuMemAllocManaged)(POINTER, BYTES, CU_MEM_ATTACH_GLOBAL));
    report_runtime("  free", route_runtime.cudaFree(pointer));
    report_runtime("page-locked", route_runtime.cudaMallocHost(&pointer, BYTES));
    report_driver("  free", DRIVER(cuMemFreeHost)(pointer));
    report_driver("page-locked", DRIVER(cuMemAllocHost)(&pointer, BYTES));
    report_runtime("  free", route_runtime.cudaFreeHost(pointer));
    report_runtime("array", route_runtime.cudaMallocArray(&array, &format, 64, 32, 0));
    report_driver("  free", DRIVER(cuArrayDestroy)((CUarray)array));
}

int program_every_kind(const char *self, const char *route, const char *argument)
{
    CUstream stream;

    route_start();
    route_report("stream", route_stream_create(&stream));
    linear(stream);
    registered();
    pools(stream);
    arrays();
    mapped();
    graph(stream);
    graph_of_nodes(stream);
    captured(stream);
    refused(stream);
    if (route_is_runtime)
        runtime(stream);
    route_report("wait", route_stream_synchronize(stream));
    route_report("last error", route_last_error());
    return 0;
}
