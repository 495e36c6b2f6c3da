/* SPDX-License-Identifier: MIT */
/*
 * A capture that other threads know nothing of: while they allocate and free as much as they like,
 * it goes on and its graph runs.
 */
#include <pthread.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

#define ROUNDS       300
#define BYTES        ((size_t)1 << 20)
#define ROUNDS_HEAVY 10

static void *load(void *unused)
{
    int errors = 0;
    door_start();
    for (int i = 0; i < ROUNDS; i++) {
        void *small, *large;
        errors += door_allocate(&large, BYTES) != 0;
        errors += door_allocate(&small, 1000) != 0;
        errors += door_free(large) != 0;
        errors += door_free(small) != 0;
    }
    printf("errors: %d\n", errors);
    return NULL;
}

/* Two fifths of what is free, again and again: after two of them there is no third. */
static void *load_heavy(void *unused)
{
    size_t free_bytes = 0, total_bytes = 0;
    int errors = 0;
    door_start();
    errors += door_memory_info(&free_bytes, &total_bytes) != 0;
    for (int i = 0; i < ROUNDS_HEAVY; i++) {
        void *large;
        errors += door_allocate(&large, free_bytes / 5 * 2) != 0;
        errors += door_free(large) != 0;
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

int program_capture_load(const char *self, const char *door, const char *argument)
{
    CUstream stream;
    CUgraph graph = NULL;
    void *target;
    unsigned char byte = 0;
    door_start();
    door_report("allocate", door_allocate(&target, 4096));
    load_elsewhere(load);
    door_report("stream", door_stream_create(&stream));
    door_report("begin", door_capture_begin(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    door_report("fill", door_fill_async(target, 5, 4096, stream));
    load_elsewhere(load);
    load_elsewhere(load_heavy);
    door_report("end", door_capture_end(stream, &graph));
    load_elsewhere(load);
    if (graph)
        door_report("run", door_graph_run(graph, stream));
    door_report("read", door_read(&byte, target, 1));
    printf("byte: %d\n", byte);
    door_report("stream", door_stream_destroy(stream));
    door_report("free", door_free(target));
    door_report("last error", door_last_error());
    return 0;
}
