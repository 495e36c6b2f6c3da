/* SPDX-License-Identifier: MIT */
/*
 * The first call of a thread: which calls create a context, and that it exists afterwards. The
 * first call after the thread's context was taken away is no different.
 */
#include <pthread.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

static void current(const char *when)
{
    CUcontext context = NULL;
    CUresult result = DRIVER(cuCtxGetCurrent)(&context);

    printf("%s: context %s (%d)\n", when, context ? "yes" : "no", (int)result);
}

static void *allocate_first(void *unused)
{
    void *pointer = NULL;

    current("thread begins");
    route_report("allocate", route_allocate(&pointer, 1000));
    current("after allocate");
    if (pointer)
        route_report("free", route_free(pointer));
    return NULL;
}

static void *free_first(void *unused)
{
    current("thread begins");
    route_report("free nothing", route_free(NULL));
    current("after free");
    return NULL;
}

static void *free_block_first(void *block)
{
    current("thread begins");
    route_report("free a block", route_free(block));
    current("after free");
    return NULL;
}

enum taken { SET, POPPED, DESTROYED, ENDED_WAYS };

static void context_take(enum taken how)
{
    CUcontext own = NULL, popped;
    void *inside = NULL;

    switch (how) {
    case SET: route_report("set none", DRIVER(cuCtxSetCurrent)(NULL)); break;
    case POPPED: route_report("pop", DRIVER(cuCtxPopCurrent)(&popped)); break;
    default:
        route_report("none", DRIVER(cuCtxSetCurrent)(NULL));
        route_report("create", route_context_create(&own, 0));
        route_report("allocate", route_allocate(&inside, 5000));
        route_report("free", route_free(inside));
        route_report("destroy", DRIVER(cuCtxDestroy)(own));
    }
}

/* Each block is freed as the first call after it. */
static void *context_taken(void *context)
{
    void *block[2], *other = NULL;
    size_t bytes = 0, pitch;
    CUdeviceptr base;
    CUcontext own;

    for (int how = SET; how < ENDED_WAYS; how++) {
        DRIVER(cuCtxSetCurrent)(context);
        route_report("allocate", route_allocate(&block[0], 5000));
        route_report("allocate", route_allocate(&block[1], 5 << 20));
        for (int i = 0; i < 2; i++) {
            CUdeviceptr address = (CUdeviceptr)block[i];

            DRIVER(cuCtxSetCurrent)(context);
            context_take(how);
            current("taken");
            route_report("range", DRIVER(cuMemGetAddressRange)(&base, &bytes, address));
            route_report("attribute", DRIVER(cuPointerGetAttribute)(
                                          &own, CU_POINTER_ATTRIBUTE_CONTEXT, address));
            route_report("free", route_free(block[i]));
            current("after free");
            context_take(how);
            route_report("allocate", route_allocate(&other, 5000));
            current("after allocate");
            if (other)
                route_report("free", route_free(other));
            context_take(how);
            other = NULL;
            route_report("pitched", route_allocate_pitched(&other, &pitch, 100, 10));
            if (other)
                route_report("free", route_free(other));
            context_take(how);
            route_report("information", DRIVER(cuMemGetInfo)(&bytes, &bytes));
            DRIVER(cuCtxSetCurrent)(context);
            route_report("free again", route_free(block[i]));
        }
    }
    return NULL;
}

static void on_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, body, argument) == 0)
        pthread_join(thread, NULL);
}

int program_first_call(const char *self, const char *route, const char *argument)
{
    void *pointer, *block = NULL, *large = NULL;

    current("program begins");
    route_report("allocate before anything", route_allocate(&pointer, 4096));
    current("after it");
    route_start();
    on_thread(allocate_first, NULL);
    on_thread(free_first, NULL);
    route_report("allocate", route_allocate(&block, 5000));
    route_report("allocate", route_allocate(&large, 5 << 20));
    on_thread(free_block_first, block);
    on_thread(free_block_first, large);
    route_report("free again", route_free(block));
    route_report("free again", route_free(large));
    CUcontext context = NULL;
    DRIVER(cuCtxGetCurrent)(&context);
    on_thread(context_taken, context);
    route_report("last error", route_last_error());
    return 0;
}
