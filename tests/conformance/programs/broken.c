/* SPDX-License-Identifier: MIT */
/* After a fault on the device the context refuses everything, allocation and free too. */
#include <stdint.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

#define BYTES ((size_t)2 << 20)

/* A graph that fills memory which is unmapped before it runs: the device faults. */
static int fault(void)
{
    CUmemAllocationProp what = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUmemAccessDesc access = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE},
                              .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemGenericAllocationHandle physical;
    CUdeviceptr address;
    CUstream stream;
    CUgraph graph = NULL;
    if (DRIVER(cuMemAddressReserve)(&address, BYTES, 0, 0, 0) ||
        DRIVER(cuMemCreate)(&physical, BYTES, &what, 0) ||
        DRIVER(cuMemMap)(address, BYTES, 0, physical, 0) ||
        DRIVER(cuMemSetAccess)(address, BYTES, &access, 1))
        door_skip("the device maps no memory");
    door_report("stream", door_stream_create(&stream));
    door_report("begin", door_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    door_report("fill", door_fill_async((void *)(uintptr_t)address, 1, BYTES, stream));
    door_report("end", door_capture_end(stream, &graph));
    if (!graph || DRIVER(cuMemUnmap)(address, BYTES))
        door_skip("the device captures nothing");
    return door_graph_run(graph, stream);
}

int program_broken(const char *self, const char *door, const char *argument)
{
    void *blocks[4], *pointer = NULL;
    door_start();
    for (int i = 0; i < 4; i++)
        door_report("allocate", door_allocate(&blocks[i], 10000));
    door_report("free", door_free(blocks[3]));
    door_report("fault", fault());
    door_report("wait", door_synchronize());
    door_report("free", door_free(blocks[0]));
    door_report("allocate", door_allocate(&pointer, 10000));
    door_report("free", door_free(blocks[1]));
    door_report("last error", door_last_error());
    return 0;
}
