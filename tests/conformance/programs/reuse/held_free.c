/* SPDX-License-Identifier: MIT */
/*
 * A free that waits for work that does not end holds nobody else up: another thread ends another
 * context meanwhile, and two more allocate blocks of the freed size, one before that and one after.
 * Beside a capture and without.
 *
 * A program that hangs is ended by its alarm. Needs a stream that can be held, so a simulated
 * device.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "program.h"
#include "route.h"

#define THREADS 4

static void *freed, *taken[THREADS];
static CUcontext other;
static atomic_int ended, allocated, errors;

static void *free_it(void *unused)
{
    route_start();
    atomic_fetch_add(&errors, route_free(freed) != 0);
    return unused;
}

static void *end_other(void *unused)
{
    atomic_fetch_add(&errors, DRIVER(cuCtxDestroy)(other) != CUDA_SUCCESS);
    atomic_store(&ended, 1);
    return unused;
}

static void *allocate(void *block)
{
    route_start();
    atomic_fetch_add(&errors, route_allocate(block, 8 << 20) != 0);
    atomic_fetch_add(&allocated, 1);
    return block;
}

static int other_make(void)
{
    CUcontext current;
    void *block;
    int error = (int)DRIVER(cuCtxGetCurrent)(&current) + route_context_create(&other, 0);

    error += route_allocate(&block, 1000);
    return error + (int)DRIVER(cuCtxSetCurrent)(current);
}

static void held_free(const char *what, CUstream busy, bool capture)
{
    static void *(*const acts[])(void *) = {free_it, allocate, end_other, allocate};
    pthread_t threads[THREADS];
    CUstream stream;
    CUgraph graph = NULL;
    void *target;

    atomic_store(&ended, 0);
    atomic_store(&allocated, 0);
    int error = other_make();
    if (error) { /* which context is current? */
        printf("%s: no other context, %d\n", what, error);
        return;
    }
    error = route_allocate(&freed, 8 << 20) + route_allocate(&target, 1000) +
            route_stream_create(&stream);
    error += capture ? route_capture_begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED) : 0;
    error += route_hold(busy) + route_fill_async(target, 1, 1000, busy);
    for (int i = 0; i < THREADS; i++) {
        error += pthread_create(&threads[i], NULL, acts[i], &taken[i]);
        usleep(20000); /* it is inside, in all likelihood */
    }
    for (int i = 0; i < 500 && !(atomic_load(&ended) && atomic_load(&allocated) == 2); i++)
        usleep(10000);
    printf("%s: the other context ended %d, allocated %d\n", what, atomic_load(&ended),
           atomic_load(&allocated));
    error += route_unhold(busy) + DRIVER(cuStreamSynchronize)(busy);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    error += capture ? route_capture_end(stream, &graph) : 0;
    error += route_free(taken[1]) + route_free(taken[3]) + route_free(target) +
             route_stream_destroy(stream);
    printf("%s: errors %d\n", what, error + atomic_exchange(&errors, 0));
}

int program_held_free(const char *self, const char *route, const char *argument)
{
    CUstream busy;
    void *first; /* the runtime has a context from now on */

    if (!route_can_hold())
        route_skip("the device cannot hold a stream");
    alarm(120);
    route_start();
    if (route_allocate(&first, 1000) != 0 ||
        DRIVER(cuStreamCreate)(&busy, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS)
        return 1;
    held_free("plain", busy, false);
    held_free("beside a capture", busy, true);
    return 0;
}
