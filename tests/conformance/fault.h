/* SPDX-License-Identifier: MIT */
/*
 * Makes the device fault in the current context: a graph fills memory which is unmapped before it
 * runs. Every later call in that context fails.
 */
#ifndef CONFORMANCE_FAULT_H
#define CONFORMANCE_FAULT_H

#include <stdint.h>

#include "route.h"

#define FAULT_BYTES ((size_t)2 << 20)

static inline void route_fault_prepare(CUgraph *ret_graph, CUstream *ret_stream)
{
    CUmemAllocationProp what = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUmemAccessDesc access = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE},
                              .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemGenericAllocationHandle physical;
    CUdeviceptr address;
    CUstream stream;
    CUgraph graph = NULL;

    if (DRIVER(cuMemAddressReserve)(&address, FAULT_BYTES, 0, 0, 0) ||
        DRIVER(cuMemCreate)(&physical, FAULT_BYTES, &what, 0) ||
        DRIVER(cuMemMap)(address, FAULT_BYTES, 0, physical, 0) ||
        DRIVER(cuMemSetAccess)(address, FAULT_BYTES, &access, 1))
        route_skip("the device maps no memory");
    route_report("stream", route_stream_create(&stream));
    route_report("begin", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    route_report("fill", route_fill_async((void *)(uintptr_t)address, 1, FAULT_BYTES, stream));
    route_report("end", route_capture_end(stream, &graph));
    if (!graph || DRIVER(cuMemUnmap)(address, FAULT_BYTES))
        route_skip("the device captures nothing");
    *ret_graph = graph;
    *ret_stream = stream;
}

/** Returns the error that the fault leaves. */
static inline int route_fault(void)
{
    CUgraph graph;
    CUstream stream;

    route_fault_prepare(&graph, &stream);
    return route_graph_run(graph, stream);
}

/** The same without a wait: the fault happens when it happens, and no call has reported it yet. */
static inline int route_fault_begin(void)
{
    CUgraph graph;
    CUgraphExec run;
    CUstream stream;

    route_fault_prepare(&graph, &stream);
    int error = (int)DRIVER(cuGraphInstantiate)(&run, graph, 0);
    return error ? error : (int)DRIVER(cuGraphLaunch)(run, stream);
}

#endif
