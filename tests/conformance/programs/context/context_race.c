/* SPDX-License-Identifier: MIT */
/* Contexts begin and end while other threads allocate and free in one that stays. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define THREADS 3
#define ROUNDS  40

#if CUDA_VERSION >= 13000
#define CREATE(context) DRIVER(cuCtxCreate)(context, NULL, 0, 0)
#else
#define CREATE(context) DRIVER(cuCtxCreate)(context, 0, 0)
#endif

static atomic_bool stop;
static atomic_int errors;

static void *churn(void *unused)
{
    void *blocks[16] = {0};

    route_start();
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        void **block = &blocks[i * 7 % 16];

        if (*block)
            atomic_fetch_add(&errors, route_free(*block) != 0);
        atomic_fetch_add(&errors, route_allocate(block, (size_t)1000 << i % 12) != 0);
    }
    for (int i = 0; i < 16; i++)
        if (blocks[i])
            atomic_fetch_add(&errors, route_free(blocks[i]) != 0);
    return NULL;
}

static int one_context(CUcontext stays, bool detach)
{
    CUcontext context;
    void *blocks[10];
    int wrong = CREATE(&context) != 0;

    for (int i = 0; i < 10; i++)
        wrong += route_allocate(&blocks[i], (size_t)2000 << i) != 0;
    wrong += route_fill_async(blocks[3], 1, 2000, NULL) != 0;
    for (int i = 0; i < 5; i++)
        wrong += route_free(blocks[i]) != 0;
    wrong += (detach ? DRIVER(cuCtxDetach)(context) : DRIVER(cuCtxDestroy)(context)) != 0;
    wrong += DRIVER(cuCtxSetCurrent)(stays) != 0;
    return wrong;
}

int program_context_race(const char *self, const char *route, const char *argument)
{
    pthread_t threads[THREADS];
    CUcontext stays;
    int wrong = 0;

    route_start();
    route_free(NULL);
    DRIVER(cuCtxGetCurrent)(&stays);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    for (int i = 0; i < ROUNDS; i++)
        wrong += one_context(stays, i % 2);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("wrong: %d, errors of other threads: %d\n", wrong, atomic_load(&errors));
    return wrong != 0 || atomic_load(&errors) != 0;
}
