/* SPDX-License-Identifier: MIT */
/*
 * Memory freed while the device may still write to it: not reused before that work is done, and
 * reused afterwards. Needs a stream that can be held, so a simulated device.
 *
 * Others of its size are freed with it, enough to make an allocator ask whether it may have them,
 * and as many are allocated, so that it must.
 *
 * Bare, the free itself waits, so the stream is let go from another thread and only the contents
 * are printed. With the argument "held" the addresses are: for a library whose free does not wait;
 * with "held-many" in a process with many contexts, after many captures at once.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BYTES    20000
#define BLOCKS   1024
#define OTHERS   40 /* contexts */
#define CAPTURES 300

static void *release_soon(void *stream)
{
    usleep(50000);
    route_unhold(stream);
    return NULL;
}

static void *first[BLOCKS], *second[BLOCKS];

static int take(void **blocks)
{
    int errors = 0;

    for (int i = 0; i < BLOCKS; i++)
        errors += route_allocate(&blocks[i], BYTES) != 0;
    return errors;
}

static int give(void **blocks)
{
    int errors = 0;

    for (int i = 0; i < BLOCKS; i++)
        errors += route_free(blocks[i]) != 0;
    return errors;
}

/* Writes are pending on blocks when they are freed; later allocations must not receive them.
 */
static void contents(CUstream stream)
{
    pthread_t thread;
    CUstream other;
    int errors = 0, wrong = 0;

    if (DRIVER(cuStreamCreate)(&other, CU_STREAM_NON_BLOCKING))
        route_skip("no stream");
    printf("allocate: errors %d\n", take(first));
    route_hold(stream);
    for (int i = 0; i < BLOCKS; i++)
        errors += route_fill_async(first[i], 1, BYTES, stream) != 0;
    printf("write: errors %d\n", errors);
    pthread_create(&thread, NULL, release_soon, stream);
    printf("free: errors %d\n", give(first));
    errors = take(second);
    for (int i = 0; i < BLOCKS; i++)
        errors += route_fill_async(second[i], 2, BYTES, other) != 0;
    printf("allocate and fill: errors %d\n", errors);
    pthread_join(thread, NULL);
    route_report("wait", route_synchronize());
    for (int i = 0; i < BLOCKS; i++)
        wrong += route_wrong_bytes(second[i], 2, BYTES) != 0;
    printf("wrong: %d\n", wrong);
    printf("free: errors %d\n", give(second));
}

static int count_of(void *block, void **among)
{
    int count = 0;

    for (int i = 0; i < BLOCKS; i++)
        count += among[i] == block;
    return count;
}

/* Allocates until the device is full and counts how often the address is handed out. */
static void addresses(CUstream stream)
{
    void *block, *other;
    int error = take(first), same;

    block = first[0];
    route_hold(stream);
    route_report("write", route_fill_async(block, 1, BYTES, stream));
    error += give(first) + take(second);
    same = count_of(block, second);
    printf("handed out while in use: %d, error %d\n", same, error);
    route_unhold(stream);
    route_report("wait", route_synchronize());
    while (route_allocate(&other, BYTES) == 0)
        same += other == block;
    printf("handed out in the end: %d\n", same);
}

/* Each with memory, the current one before the others. */
static void contexts_make(void)
{
    CUcontext own, other;
    void *block;
    int errors = DRIVER(cuCtxGetCurrent)(&own) + route_allocate(&block, 1000);

    for (int i = 0; i < OTHERS; i++)
        errors += (int)route_context_create(&other, 0) + route_allocate(&block, 1000);
    errors += DRIVER(cuCtxSetCurrent)(own);
    printf("contexts: errors %d\n", errors);
}

static void captures_make(void)
{
    static CUstream streams[CAPTURES];
    CUgraph graph;
    int errors = 0;

    for (int i = 0; i < CAPTURES; i++) {
        errors += route_stream_create(&streams[i]) != 0;
        errors += route_capture_begin(streams[i], CU_STREAM_CAPTURE_MODE_RELAXED) != 0;
    }
    for (int i = 0; i < CAPTURES; i++) {
        errors += route_capture_end(streams[i], &graph) != 0;
        errors += route_stream_destroy(streams[i]) != 0;
    }
    printf("captures: errors %d\n", errors);
}

int program_reuse(const char *self, const char *route, const char *argument)
{
    CUstream stream;

    if (!route_can_hold())
        route_skip("the device cannot hold a stream");
    route_start();
    route_report("start", route_free(NULL));
    /* Ordered with no other stream, so that nothing but the free can wait. */
    if (DRIVER(cuStreamCreate)(&stream, CU_STREAM_NON_BLOCKING))
        route_skip("no stream");
    if (argument && strcmp(argument, "held-many") == 0) {
        contexts_make();
        captures_make();
    }
    if (argument)
        addresses(stream);
    else
        contents(stream);
    return 0;
}
