/* SPDX-License-Identifier: MIT */
/*
 * Capture into a graph that exists, in each mode, while this or another thread allocates and frees:
 * what is forbidden fails as it does without the graph, what is allowed leaves it whole.
 */
#include <pthread.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

static void allocate_and_free(const char *who)
{
    void *pointer = NULL;
    int error = door_allocate(&pointer, 5000);
    printf("%s allocates: %s\n", who, door_error_name(error));
    if (error == 0)
        printf("%s frees: %s\n", who, door_error_name(door_free(pointer)));
    door_report("last error", door_last_error());
}

static void *other(void *unused)
{
    door_start();
    allocate_and_free("other thread");
    return NULL;
}

static void during(CUstreamCaptureMode mode, bool on_other_thread)
{
    CUstream stream;
    CUgraph graph, ended = NULL;
    void *target;
    unsigned char byte = 0;
    pthread_t thread;
    printf("== mode %d, %s thread\n", (int)mode, on_other_thread ? "other" : "same");
    door_report("allocate", door_allocate(&target, 4096));
    door_report("clear", door_fill(target, 0, 4096));
    door_report("cleared", door_read(&byte, target, 1)); /* a fill need not wait for the device */
    door_report("graph", DRIVER(cuGraphCreate)(&graph, 0));
    door_report("stream", door_stream_create(&stream));
    door_report("begin", DRIVER(cuStreamBeginCaptureToGraph)(stream, graph, NULL, NULL, 0, mode));
    door_report("fill", door_fill_async(target, 5, 4096, stream));
    if (!on_other_thread)
        allocate_and_free("same thread");
    else if (pthread_create(&thread, NULL, other, NULL) == 0)
        pthread_join(thread, NULL);
    door_report("fill", door_fill_async(target, 6, 4096, stream));
    int error = door_capture_end(stream, &ended);
    door_report("end", error);
    printf("the same graph: %d\n", ended == graph);
    if (error == 0)
        door_report("run", door_graph_run(graph, stream));
    door_report("read", door_read(&byte, target, 1));
    printf("byte: %d\n", byte);
    door_report("last error", door_last_error());
    door_report("stream", door_stream_destroy(stream));
    door_report("free", door_free(target));
    allocate_and_free("afterwards");
}

int program_capture_to_graph(const char *self, const char *door, const char *argument)
{
    door_start();
    door_free(NULL);
    if (!DRIVER(cuStreamBeginCaptureToGraph))
        door_skip("the driver cannot capture into a graph");
    for (int mode = CU_STREAM_CAPTURE_MODE_GLOBAL; mode <= CU_STREAM_CAPTURE_MODE_RELAXED; mode++)
        for (int thread = 0; thread < 2; thread++)
            during((CUstreamCaptureMode)mode, thread);
    return 0;
}
