/* SPDX-License-Identifier: MIT */
/*
 * Capture into an existing graph, in each mode, while this or another thread allocates and frees:
 * forbidden calls fail as without the graph, permitted ones leave it intact.
 */
#include <pthread.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

static void allocate_and_free(const char *who)
{
    void *pointer = NULL;
    int error = route_allocate(&pointer, 5000);

    printf("%s allocates: %s\n", who, route_error_name(error));
    if (error == 0)
        printf("%s frees: %s\n", who, route_error_name(route_free(pointer)));
    route_report("last error", route_last_error());
}

static void *other(void *unused)
{
    route_start();
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
    route_report("allocate", route_allocate(&target, 4096));
    route_report("clear", route_fill(target, 0, 4096));
    route_report("cleared", route_read(&byte, target, 1)); /* a fill need not wait for the device */
    route_report("graph", DRIVER(cuGraphCreate)(&graph, 0));
    route_report("stream", route_stream_create(&stream));
    route_report("begin", DRIVER(cuStreamBeginCaptureToGraph)(stream, graph, NULL, NULL, 0, mode));
    route_report("fill", route_fill_async(target, 5, 4096, stream));
    if (!on_other_thread)
        allocate_and_free("same thread");
    else if (pthread_create(&thread, NULL, other, NULL) == 0)
        pthread_join(thread, NULL);
    route_report("fill", route_fill_async(target, 6, 4096, stream));
    int error = route_capture_end(stream, &ended);
    route_report("end", error);
    printf("the same graph: %d\n", ended == graph);
    if (error == 0)
        route_report("run", route_graph_run(graph, stream));
    route_report("read", route_read(&byte, target, 1));
    printf("byte: %d\n", byte);
    route_report("last error", route_last_error());
    route_report("stream", route_stream_destroy(stream));
    route_report("free", route_free(target));
    allocate_and_free("afterwards");
}

int program_capture_to_graph(const char *self, const char *route, const char *argument)
{
    route_start();
    route_free(NULL);
    if (!DRIVER(cuStreamBeginCaptureToGraph))
        route_skip("the driver cannot capture into a graph");
    for (int mode = CU_STREAM_CAPTURE_MODE_GLOBAL; mode <= CU_STREAM_CAPTURE_MODE_RELAXED; mode++)
        for (int thread = 0; thread < 2; thread++)
            during((CUstreamCaptureMode)mode, thread);
    return 0;
}
