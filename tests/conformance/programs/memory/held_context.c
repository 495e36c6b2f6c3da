/* SPDX-License-Identifier: MIT */
/*
 * Memory that ends with a context and memory that outlives it: ordinary, managed and page-locked
 * memory and arrays end with it; physical memory, pools, their blocks and memory of graphs stay
 * until they are freed, in whichever context.
 */
#include "held.h"

struct kept {
    CUmemGenericAllocationHandle handle;
    CUdeviceptr range, block, of_graph;
    CUmemoryPool pool;
    CUstream stream;
};

static CUdeviceptr graph_run(CUstream stream, size_t pages)
{
    void *pointer = NULL;
    CUgraph graph = NULL;

    route_report("capture", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    route_report("memory", route_allocate_async(&pointer, pages * PAGE, stream));
    route_report("end", route_capture_end(stream, &graph));
    route_report("run", route_graph_run(graph, stream));
    report("destroy", DRIVER(cuGraphDestroy)(graph));
    return (CUdeviceptr)(uintptr_t)pointer;
}

static void fill_context(struct kept *kept)
{
    CUmemPoolProps properties = pool_of(CU_MEM_LOCATION_TYPE_DEVICE, 0);
    CUmemGenericAllocationHandle mapped;
    CUDA_ARRAY_DESCRIPTOR flat = {1024, 512, CU_AD_FORMAT_FLOAT, 4};
    CUarray array;
    void *pointer;

    route_report("ordinary", route_allocate(&pointer, 2 * PAGE));
    route_report("managed", route_managed_allocate(&pointer, PAGE));
    route_report("page-locked", route_host_allocate(&pointer, PAGE));
    report("array", DRIVER(cuArrayCreate)(&array, &flat));
    kept->handle = physical_make(3);
    mapped = physical_make(4);
    report("reserve", DRIVER(cuMemAddressReserve)(&kept->range, RANGE, 0, 0, 0));
    report("map", DRIVER(cuMemMap)(kept->range, 4 * PAGE, 0, mapped, 0));
    report("release", DRIVER(cuMemRelease)(mapped));
    report("pool", DRIVER(cuMemPoolCreate)(&kept->pool, &properties));
    report("block",
           DRIVER(cuMemAllocFromPoolAsync)(&kept->block, 5 * PAGE, kept->pool, kept->stream));
    kept->of_graph = graph_run(kept->stream, 6);
    report("wait", DRIVER(cuStreamSynchronize)(kept->stream));
}

static void free_kept(const struct kept *kept)
{
    report("release", DRIVER(cuMemRelease)(kept->handle));
    held("without the handle's");
    report("unmap", DRIVER(cuMemUnmap)(kept->range, 4 * PAGE));
    report("free", DRIVER(cuMemAddressFree)(kept->range, RANGE));
    held("without the mapping's");
    report("free", DRIVER(cuMemFree)(kept->block));
    report("destroy", DRIVER(cuMemPoolDestroy)(kept->pool));
    held("without the pool's");
    report("free", DRIVER(cuMemFree)(kept->of_graph));
    DRIVER(cuDeviceGraphMemTrim)(0);
    held("without the graph's");
}

static void destroyed(void)
{
    struct kept kept = {0};
    CUcontext context = NULL;

    report("context", route_context_create(&context, 0));
    route_report("stream", route_stream_create(&kept.stream));
    fill_context(&kept);
    report("end", DRIVER(cuCtxDestroy)(context));
    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
    held("destroyed");
    free_kept(&kept);
}

static void reset(void)
{
    struct kept kept = {0};
    CUcontext context = NULL;

    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
    route_report("stream", route_stream_create(&kept.stream));
    fill_context(&kept);
    report("reset", DRIVER(cuDevicePrimaryCtxReset)(0));
    report("retain", DRIVER(cuDevicePrimaryCtxRetain)(&context, 0));
    held_contexts[0] = context;
    DRIVER(cuCtxSetCurrent)(context);
    held("reset");
    free_kept(&kept);
}

int program_held_context(const char *self, const char *route, const char *argument)
{
    held_needs_graphs();
    held_start();
    destroyed();
    reset();
    return 0;
}
