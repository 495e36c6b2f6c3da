/* SPDX-License-Identifier: MIT */
/*
 * Memory counts on the device of its properties, its pool or its stream, or on the host, whichever
 * device is current at the allocation and at the free.
 */
#include "held.h"

static void physical(const char *where, CUmemLocationType type, int id)
{
    CUmemAllocationProp properties = physical_of(type, id);
    CUmemGenericAllocationHandle handle = 0;

    report(where, DRIVER(cuMemCreate)(&handle, 3 * PAGE, &properties, 0));
    held("made");
    DRIVER(cuCtxSetCurrent)(held_contexts[1]);
    report("release", DRIVER(cuMemRelease)(handle));
    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
    held("released");
}

static void pool(const char *where, CUmemLocationType type, int id, CUstream stream)
{
    CUmemPoolProps properties = pool_of(type, id);
    CUmemoryPool made = NULL;
    CUdeviceptr pointer = 0;

    report(where, DRIVER(cuMemPoolCreate)(&made, &properties));
    report("block", DRIVER(cuMemAllocFromPoolAsync)(&pointer, 4 * PAGE, made, stream));
    held("made");
    report("free", DRIVER(cuMemFree)(pointer));
    report("destroy", DRIVER(cuMemPoolDestroy)(made));
    held("freed");
}

static void stream_of_another(void)
{
    CUstream stream = NULL;
    CUmemoryPool other = NULL;
    CUdeviceptr pointer = 0;

    DRIVER(cuCtxSetCurrent)(held_contexts[1]);
    route_report("stream", route_stream_create(&stream));
    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
    report("block", DRIVER(cuMemAllocAsync)(&pointer, 5 * PAGE, stream));
    held("in the order of the other's stream");
    report("free", DRIVER(cuMemFreeAsync)(pointer, stream));
    report("wait", DRIVER(cuStreamSynchronize)(stream));
    held("freed");
    report("default pool", DRIVER(cuDeviceGetDefaultMemPool)(&other, 1));
    report("block", DRIVER(cuMemAllocFromPoolAsync)(&pointer, 5 * PAGE, other, stream));
    held("of the other's pool");
    DRIVER(cuCtxSetCurrent)(held_contexts[1]);
    report("free", DRIVER(cuMemFree)(pointer));
    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
    held("freed");
    route_report("destroy", route_stream_destroy(stream));
}

static void ordinary(void)
{
    void *pointer = NULL;

    DRIVER(cuCtxSetCurrent)(held_contexts[1]);
    route_report("ordinary", route_allocate(&pointer, 6 * PAGE));
    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
    held("made");
    route_report("free", route_free(pointer));
    held("freed");
}

static void of_the_host(void)
{
    void *pointer = NULL;

    route_report("page-locked", route_host_allocate(&pointer, 7 * PAGE));
    held("made");
    route_report("free", route_host_free(pointer));
}

int program_held_place(const char *self, const char *route, const char *argument)
{
    CUstream stream = NULL;

    held_start();
    route_report("stream", route_stream_create(&stream));
    physical("on the first", CU_MEM_LOCATION_TYPE_DEVICE, 0);
    physical("on the second", CU_MEM_LOCATION_TYPE_DEVICE, 1);
    physical("on the host", CU_MEM_LOCATION_TYPE_HOST, 0);
    physical("on a node of the host", CU_MEM_LOCATION_TYPE_HOST_NUMA, 0);
    pool("pool of the first", CU_MEM_LOCATION_TYPE_DEVICE, 0, stream);
    pool("pool of the second", CU_MEM_LOCATION_TYPE_DEVICE, 1, stream);
    pool("pool of the host", CU_MEM_LOCATION_TYPE_HOST, 0, stream);
    pool("pool of a node of the host", CU_MEM_LOCATION_TYPE_HOST_NUMA, 0, stream);
    stream_of_another();
    ordinary();
    of_the_host();
    held("in the end");
    return 0;
}
