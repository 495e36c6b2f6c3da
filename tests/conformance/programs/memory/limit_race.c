/* SPDX-License-Identifier: MIT */
/*
 * Threads that allocate at the same moment, each another kind of memory, and the most of them that
 * got any: as many as the device has room for, never more.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define THREADS 4
#define ROUNDS  12
#define BYTES   ((size_t)300 << 20)

static pthread_barrier_t barrier;
static atomic_int holders; /* threads that got memory in this round */
static int most;           /* written by thread 0, between two barriers */

static bool ordinary(CUstream stream)
{
    void *pointer;
    bool made = route_allocate(&pointer, BYTES) == 0;

    atomic_fetch_add(&holders, made);
    pthread_barrier_wait(&barrier);
    return !made || route_free(pointer) == 0;
}

static bool in_order(CUstream stream)
{
    void *pointer;
    bool made = route_allocate_async(&pointer, BYTES, stream) == 0;

    atomic_fetch_add(&holders, made);
    pthread_barrier_wait(&barrier);
    return !made ||
           (route_free_async(pointer, stream) == 0 && route_stream_synchronize(stream) == 0);
}

static bool physical(CUstream stream)
{
    CUmemAllocationProp wanted = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                  .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemGenericAllocationHandle handle;
    bool made = DRIVER(cuMemCreate)(&handle, BYTES, &wanted, 0) == CUDA_SUCCESS;

    atomic_fetch_add(&holders, made);
    pthread_barrier_wait(&barrier);
    return !made || DRIVER(cuMemRelease)(handle) == CUDA_SUCCESS;
}

static void *allocate(void *first)
{
    static bool (*const kinds[])(CUstream) = {ordinary, in_order, physical};
    int number = (int)(intptr_t)first;
    CUstream stream;

    route_start();
    bool right = route_stream_create(&stream) == 0;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        right &= kinds[(number + round) % 3](stream);
        if (number == 0)
            most = atomic_load(&holders) > most ? atomic_load(&holders) : most;
        pthread_barrier_wait(&barrier);
        if (number == 0)
            atomic_store(&holders, 0);
    }
    right &= route_stream_destroy(stream) == 0;
    return (void *)(intptr_t)right;
}

int program_limit_race(const char *self, const char *route, const char *argument)
{
    pthread_t threads[THREADS];
    int right = 0;

    route_start();
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, allocate, (void *)(intptr_t)i) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++) {
        void *result;

        pthread_join(threads[i], &result);
        right += (int)(intptr_t)result;
    }
    printf("most at once: %d of %d\n", most, THREADS);
    printf("right: %d\n", right);
    return 0;
}
