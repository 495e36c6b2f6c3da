/* SPDX-License-Identifier: MIT */
/* Addresses in a graph stay valid while it runs, and memory of others is not touched. */
#include <stdio.h>

#include "route.h"
#include "program.h"

#define BLOCKS 50
#define BYTES  5000

int program_graph(const char *self, const char *route, const char *argument)
{
    void *target, *blocks[BLOCKS];
    CUstream stream;
    CUgraph graph;
    int kept = 0;

    route_start();
    route_report("allocate", route_allocate(&target, BYTES));
    route_report("stream", route_stream_create(&stream));
    route_report("begin", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    route_report("fill", route_fill_async(target, 42, BYTES, stream));
    route_report("end", route_capture_end(stream, &graph));
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < BLOCKS; i++)
            if (route_allocate(&blocks[i], BYTES) || route_fill(blocks[i], i, BYTES))
                printf("error\n");
        route_report("clear", route_fill(target, 0, BYTES));
        route_report("wait", route_synchronize());
        route_report("run", route_graph_run(graph, stream));
        kept += route_wrong_bytes(target, 42, BYTES) == 0;
        for (int i = 0; i < BLOCKS; i++) {
            kept += route_wrong_bytes(blocks[i], i, BYTES) == 0;
            if (route_free(blocks[i]))
                printf("error\n");
        }
    }
    printf("kept: %d of %d\n", kept, 5 * (BLOCKS + 1));
    route_report("stream", route_stream_destroy(stream));
    route_report("free", route_free(target));
    return 0;
}
