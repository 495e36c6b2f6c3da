/* SPDX-License-Identifier: MIT */
/* A graph holds addresses: they stay backed, and others' memory stays untouched, as it runs. */
#include <stdio.h>

#include "door.h"
#include "program.h"

#define BLOCKS 50
#define BYTES  5000

int program_graph(const char *self, const char *door, const char *argument)
{
    void *target, *blocks[BLOCKS];
    CUstream stream;
    CUgraph graph;
    int kept = 0;
    door_start();
    door_report("allocate", door_allocate(&target, BYTES));
    door_report("stream", door_stream_create(&stream));
    door_report("begin", door_capture_begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    door_report("fill", door_fill_async(target, 42, BYTES, stream));
    door_report("end", door_capture_end(stream, &graph));
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < BLOCKS; i++)
            if (door_allocate(&blocks[i], BYTES) || door_fill(blocks[i], i, BYTES))
                printf("error\n");
        door_report("clear", door_fill(target, 0, BYTES));
        door_report("wait", door_synchronize());
        door_report("run", door_graph_run(graph, stream));
        kept += door_wrong_bytes(target, 42, BYTES) == 0;
        for (int i = 0; i < BLOCKS; i++) {
            kept += door_wrong_bytes(blocks[i], i, BYTES) == 0;
            if (door_free(blocks[i]))
                printf("error\n");
        }
    }
    printf("kept: %d of %d\n", kept, 5 * (BLOCKS + 1));
    door_report("stream", door_stream_destroy(stream));
    door_report("free", door_free(target));
    return 0;
}
