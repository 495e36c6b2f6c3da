/* SPDX-License-Identifier: MIT */
/* Contexts begin and end while other threads allocate and free in one that stays. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define THREADS 3
#define ROUNDS  48

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

/* Uses the current context; five blocks are left. */
static int use(void *blocks[10])
{
    int wrong = 0;

    for (int i = 0; i < 10; i++)
        wrong += route_allocate(&blocks[i], (size_t)2000 << i) != 0;
    wrong += route_fill_async(blocks[3], 1, 2000, NULL) != 0;
    for (int i = 0; i < 5; i++)
        wrong += route_free(blocks[i]) != 0;
    return wrong;
}

static int one_context(bool detach)
{
    CUcontext context;
    void *blocks[10];
    int wrong = route_context_create(&context, 0) != 0;

    wrong += use(blocks);
    return wrong + ((detach ? DRIVER(cuCtxDetach)(context) : DRIVER(cuCtxDestroy)(context)) != 0);
}

/* The release ends the context of the last device, if there are several; on the first one it is
 * not the last. */
static int one_primary(CUdevice device)
{
    CUcontext primary;
    void *blocks[10];
    int wrong = DRIVER(cuDevicePrimaryCtxRetain)(&primary, device) != 0;

    wrong += DRIVER(cuCtxSetCurrent)(primary) != 0;
    wrong += use(blocks);
    wrong += DRIVER(cuDevicePrimaryCtxRelease)(device) != 0;
    for (int i = 5; i < 10 && device == 0; i++)
        wrong += route_free(blocks[i]) != 0;
    return wrong;
}

int program_context_race(const char *self, const char *route, const char *argument)
{
    pthread_t threads[THREADS];
    CUcontext stays;
    int wrong = 0, devices = 0;

    route_start();
    route_free(NULL);
    DRIVER(cuCtxGetCurrent)(&stays);
    DRIVER(cuDeviceGetCount)(&devices);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        wrong += i % 4 < 2 ? one_context(i % 2) : one_primary(i % 2 ? devices - 1 : 0);
        wrong += DRIVER(cuCtxSetCurrent)(stays) != 0;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("wrong: %d, errors of other threads: %d\n", wrong, atomic_load(&errors));
    return wrong != 0 || atomic_load(&errors) != 0;
}
