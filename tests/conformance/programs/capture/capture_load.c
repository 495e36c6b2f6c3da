/* SPDX-License-Identifier: MIT */
/*
 * Other threads allocate and free while a stream captures: the capture continues and its graph
 * runs.
 */
#include <pthread.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define ROUNDS       300
#define BYTES        ((size_t)1 << 20)
#define ROUNDS_HEAVY 10

static void *load(void *unused)
{
    int errors = 0;

    route_start();
    for (int i = 0; i < ROUNDS; i++) {
        void *small, *large;

        errors += route_allocate(&large, BYTES) != 0;
        errors += route_allocate(&small, 1000) != 0;
        errors += route_free(large) != 0;
        errors += route_free(small) != 0;
    }
    printf("errors: %d\n", errors);
    return NULL;
}

/* Two fifths of free memory, repeatedly: after two of them a third does not fit. */
static void *load_heavy(void *unused)
{
    size_t free_bytes = 0, total_bytes = 0;
    int errors = 0;

    route_start();
    errors += route_memory_info(&free_bytes, &total_bytes) != 0;
    for (int i = 0; i < ROUNDS_HEAVY; i++) {
        void *large;

        errors += route_allocate(&large, free_bytes / 5 * 2) != 0;
        errors += route_free(large) != 0;
    }
    printf("errors: %d\n", errors);
    return NULL;
}

static void load_elsewhere(void *(*work)(void *))
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, NULL) == 0)
        pthread_join(thread, NULL);
}

int program_capture_load(const char *self, const char *route, const char *argument)
{
    CUstream stream;
    CUgraph graph = NULL;
    void *target;
    unsigned char byte = 0;

    route_start();
    route_report("allocate", route_allocate(&target, 4096));
    load_elsewhere(load);
    route_report("stream", route_stream_create(&stream));
    route_report("begin", route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    route_report("fill", route_fill_async(target, 5, 4096, stream));
    load_elsewhere(load);
    load_elsewhere(load_heavy);
    route_report("end", route_capture_end(stream, &graph));
    load_elsewhere(load);
    if (graph)
        route_report("run", route_graph_run(graph, stream));
    route_report("read", route_read(&byte, target, 1));
    printf("byte: %d\n", byte);
    route_report("stream", route_stream_destroy(stream));
    route_report("free", route_free(target));
    route_report("last error", route_last_error());
    return 0;
}
