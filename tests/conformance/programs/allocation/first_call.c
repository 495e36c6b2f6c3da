/* SPDX-License-Identifier: MIT */
/* The first call of a thread: which calls create a context, and that it exists afterwards. */
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
    route_report("last error", route_last_error());
    return 0;
}
