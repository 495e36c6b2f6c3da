/* SPDX-License-Identifier: MIT */
/*
 * Two contexts of one device: memory belongs to the one in which it was allocated, also when one
 * ends.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "route.h"
#include "program.h"

/* A context that its users count: the last to detach ends it. */
static void counted(CUcontext first)
{
    CUcontext second, again;
    void *inside[4], *pointer;
    int error = (int)route_context_create(&second, 0);

    route_report("counted context", error);
    if (error)
        return;
    for (int i = 0; i < 4; i++)
        route_report("allocate", route_allocate(&inside[i], (size_t)5000 << i));
    route_report("attach", DRIVER(cuCtxAttach)(&again, 0));
    printf("the same: %d\n", again == second);
    route_report("detach", DRIVER(cuCtxDetach)(second));
    route_report("free", route_free(inside[0]));
    route_report("detach", DRIVER(cuCtxDetach)(second));
    route_report("detach", DRIVER(cuCtxDetach)(second));
    route_report("current", DRIVER(cuCtxSetCurrent)(first));
    route_report("stale", route_free(inside[1]));
    /* One in its place, perhaps with its handle. */
    error = (int)route_context_create(&second, 0);
    route_report("next context", error);
    if (error)
        return;
    route_report("allocate", route_allocate(&pointer, 5000));
    route_report("fill", route_fill(pointer, 33, 5000));
    route_report("synchronize", DRIVER(cuCtxSynchronize)());
    route_report("free", route_free(pointer));
    route_report("detach", DRIVER(cuCtxDetach)(second));
    route_report("current", DRIVER(cuCtxSetCurrent)(first));
}

/* On a device of its own: the primary context begins and ends beside it. */
static void beside_primary(CUcontext first)
{
    CUcontext second, primary;
    void *inside, *gone;
    unsigned char byte = 0;
    int error = (int)route_context_create(&second, 1);

    route_report("on the second device", error);
    if (error)
        return;
    route_report("allocate", route_allocate(&inside, 5000));
    route_report("fill", route_fill(inside, 44, 5000));
    for (int round = 0; round < 2; round++) {
        route_report("retain", DRIVER(cuDevicePrimaryCtxRetain)(&primary, 1));
        route_report("current", DRIVER(cuCtxSetCurrent)(primary));
        route_report("allocate", route_allocate(&gone, 5000));
        route_report("retain", DRIVER(cuDevicePrimaryCtxRetain)(&primary, 1));
        route_report("release", DRIVER(cuDevicePrimaryCtxRelease)(1));
        route_report("fill", route_fill(gone, 55, 5000));
        route_report("release", DRIVER(cuDevicePrimaryCtxRelease)(1));
        route_report("current", DRIVER(cuCtxSetCurrent)(second));
        route_report("stale", route_free(gone));
        route_report("read", route_read(&byte, inside, 1));
        printf("byte: %d\n", byte);
    }
    route_report("free", route_free(inside));
    route_report("destroy", DRIVER(cuCtxDestroy)(second));
    route_report("current", DRIVER(cuCtxSetCurrent)(first));
}

static void *context_destroy(void *context)
{
    route_report("destroy", DRIVER(cuCtxDestroy)(context));
    return NULL;
}

static void *context_detach(void *context)
{
    route_report("current", DRIVER(cuCtxSetCurrent)(context));
    route_report("detach", DRIVER(cuCtxDetach)(context));
    return NULL;
}

/* Another thread ends the current context: it stays current, and nothing works in it. The thread
 * has allocated there, or only freed a block of the first context. */
static void ended_elsewhere(CUcontext first, bool allocates, void *(*end)(void *context))
{
    CUcontext second;
    CUdeviceptr other = 0;
    void *kept, *small, *inside;
    pthread_t thread;

    route_report("allocate", route_allocate(&inside, 5000));
    if (allocates)
        route_report("free", route_free(inside));
    route_report("allocate", route_allocate(&kept, 5 << 20));
    route_report("allocate", route_allocate(&small, 5000));
    int error = (int)route_context_create(&second, 0);
    route_report("second context", error);
    if (error)
        return;
    if (allocates)
        route_report("allocate", route_allocate(&inside, 5000));
    route_report("free", route_free(inside));
    if (pthread_create(&thread, NULL, end, second) == 0)
        pthread_join(thread, NULL);
    route_report("free in none that lives", DRIVER(cuMemFree)((CUdeviceptr)kept));
    route_report("again", DRIVER(cuMemFree)((CUdeviceptr)small));
    route_report("allocate", DRIVER(cuMemAlloc)(&other, 5000));
    route_report("current", DRIVER(cuCtxSetCurrent)(first));
    route_report("free", route_free(kept));
    route_report("free", route_free(small));
}

static void *primary_release(void *unused)
{
    route_report("release", DRIVER(cuDevicePrimaryCtxRelease)(1));
    return unused;
}

/* Likewise the primary context of another device. */
static void primary_ended_elsewhere(CUcontext first)
{
    CUcontext primary;
    void *kept, *small;
    pthread_t thread;

    route_report("allocate", route_allocate(&kept, 5 << 20));
    route_report("allocate", route_allocate(&small, 5000));
    int error = (int)DRIVER(cuDevicePrimaryCtxRetain)(&primary, 1);
    route_report("primary context", error);
    if (error == 0) {
        route_report("current", DRIVER(cuCtxSetCurrent)(primary));
        route_report("free", DRIVER(cuMemFree)((CUdeviceptr)small));
        if (pthread_create(&thread, NULL, primary_release, NULL) == 0)
            pthread_join(thread, NULL);
        route_report("free in none that lives", DRIVER(cuMemFree)((CUdeviceptr)kept));
        route_report("current", DRIVER(cuCtxSetCurrent)(first));
    }
    route_report("free", route_free(kept));
}

/* The driver refuses to destroy a primary context: all goes on. The first block lies where its
 * allocation begins. */
static void refused(CUcontext first)
{
    CUcontext primary;
    void *blocks[4];
    unsigned char byte = 0;

    route_report("retain", DRIVER(cuDevicePrimaryCtxRetain)(&primary, 1));
    route_report("current", DRIVER(cuCtxSetCurrent)(primary));
    for (int i = 0; i < 4; i++)
        route_report("allocate", (int)DRIVER(cuMemAlloc)((CUdeviceptr *)&blocks[i], 100000));
    route_report("fill", route_fill(blocks[3], 66, 100000));
    route_report("destroy", DRIVER(cuCtxDestroy)(primary));
    for (int i = 0; i < 3; i++)
        route_report("free", (int)DRIVER(cuMemFree)((CUdeviceptr)blocks[(i + 1) % 3]));
    route_report("read", route_read(&byte, blocks[3], 1));
    printf("byte: %d\n", byte);
    route_report("free", (int)DRIVER(cuMemFree)((CUdeviceptr)blocks[3]));
    route_report("allocate", (int)DRIVER(cuMemAlloc)((CUdeviceptr *)&blocks[0], 100000));
    route_report("free", (int)DRIVER(cuMemFree)((CUdeviceptr)blocks[0]));
    route_report("release", DRIVER(cuDevicePrimaryCtxRelease)(1));
    route_report("current", DRIVER(cuCtxSetCurrent)(first));
}

/* What a CUPTI client and another thread do while a context ends. */
static struct {
    CUdeviceptr own;
    CUcontext context, first;
    bool beside, told;
    bool reuses; /* looks whether memory of the first context is used again meanwhile */
} client;

static void beside_an_end(void)
{
    CUdeviceptr block = 0;

    route_report("allocate", DRIVER(cuMemAlloc)(&block, 5000));
    route_report("free", DRIVER(cuMemFree)(block));
}

static void *in_context(void *unused)
{
    route_report("current", DRIVER(cuCtxSetCurrent)(client.context));
    beside_an_end();
    return unused;
}

static void reuse(void)
{
    CUdeviceptr before = 0, after = 0;
    CUcontext popped;

    route_report("push", DRIVER(cuCtxPushCurrent)(client.first));
    route_report("allocate", DRIVER(cuMemAlloc)(&before, 32 << 20));
    route_report("free", DRIVER(cuMemFree)(before));
    route_report("allocate", DRIVER(cuMemAlloc)(&after, 32 << 20));
    printf("used again: %d\n", before == after);
    route_report("free", DRIVER(cuMemFree)(after));
    route_report("pop", DRIVER(cuCtxPopCurrent)(&popped));
}

static void context_is_ending(void *unused, int domain, unsigned event, const void *what)
{
    pthread_t thread;

    client.told = true;
    if (client.own)
        route_report("free the client's", DRIVER(cuMemFree)(client.own));
    beside_an_end();
    if (client.reuses)
        reuse();
    if (client.beside && pthread_create(&thread, NULL, in_context, NULL) == 0)
        pthread_join(thread, NULL);
}

#define RESOURCE_DOMAIN          3
#define CONTEXT_DESTROY_STARTING 2

/* It frees its memory when a context is about to end, and may allocate. */
static void *client_begin(void *cupti)
{
    int (*subscribe)(void **, void *, void *);
    int (*enable)(unsigned, void *, int, unsigned);
    void *subscriber = NULL;

    *(void **)&subscribe = dlsym(cupti, "cuptiSubscribe");
    *(void **)&enable = dlsym(cupti, "cuptiEnableCallback");
    if (!subscribe || !enable || subscribe(&subscriber, (void *)context_is_ending, NULL) ||
        enable(1, subscriber, RESOURCE_DOMAIN, CONTEXT_DESTROY_STARTING))
        return NULL;
    return subscriber;
}

static int large_ones(void)
{
    static CUdeviceptr blocks[32];
    int wrong = 0;

    for (int i = 0; i < 32; i++)
        wrong += DRIVER(cuMemAlloc)(&blocks[i], 2 << 20) != 0;
    for (int i = 0; i < 32; i++)
        wrong += DRIVER(cuMemFree)(blocks[i]) != 0;
    return wrong;
}

static void with_client(CUcontext first)
{
    void *cupti = dlopen("libcupti.so.13", RTLD_NOW), *pointer;
    int (*unsubscribe)(void *) = NULL;

    if (!cupti)
        cupti = dlopen("libcupti.so.12", RTLD_NOW);
    void *subscriber = cupti ? client_begin(cupti) : NULL;
    printf("a client: %d\n", subscriber != NULL);
    client.first = first;
    for (int round = 0; subscriber && round < 4; round++) {
        bool known = round & 1;

        client.own = 0;
        client.told = false;
        client.beside = round & 2;
        int error = (int)route_context_create(&client.context, 0);
        route_report("context of the client", error);
        if (error)
            break;
        if (known) {
            route_report("allocate", DRIVER(cuMemAlloc)(&client.own, 5000));
            route_report("allocate", route_allocate(&pointer, 5000));
        }
        route_report("destroy", DRIVER(cuCtxDestroy)(client.context));
        route_report("current", DRIVER(cuCtxSetCurrent)(first));
        printf("told: %d, wrong: %d\n", client.told, large_ones());
        if (known)
            route_report("stale", route_free(pointer));
    }
    if (subscriber)
        *(void **)&unsubscribe = dlsym(cupti, "cuptiUnsubscribe");
    if (unsubscribe)
        unsubscribe(subscriber);
}

int program_contexts(const char *self, const char *route, const char *argument)
{
    CUcontext first, second;
    void *in_first[10], *in_second[10], *pointer;
    unsigned char byte = 0;

    route_start();
    route_free(NULL);
    DRIVER(cuCtxGetCurrent)(&first);
    if (argument && strcmp(argument, "client") == 0) {
        client.reuses = true;
        refused(first);
        with_client(first);
        return 0;
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            route_report("allocate", route_allocate(&in_first[i], (size_t)3000 << i));
        route_report("fill", route_fill(in_first[1], 11, 3000));
        int error = (int)route_context_create(&second, 0);
        route_report("second context", error);
        if (error)
            return 0;
        for (int i = 0; i < 10; i++)
            route_report("allocate", route_allocate(&in_second[i], (size_t)3000 << i));
        route_report("fill", route_fill(in_second[1], 22, 3000));
        route_report("free the other's", route_free(in_first[0]));
        route_report("free", route_free(in_second[0]));
        route_report("read", route_read(&byte, in_second[1], 1));
        printf("byte: %d\n", byte);
        route_report("destroy", DRIVER(cuCtxDestroy)(second));
        route_report("current", DRIVER(cuCtxSetCurrent)(first));
        route_report("stale", route_free(in_second[2]));
        route_report("read", route_read(&byte, in_first[1], 1));
        printf("byte: %d\n", byte);
        for (int i = 1; i < 10; i++)
            route_report("free", route_free(in_first[i]));
        route_report("allocate", route_allocate(&pointer, 3000));
        route_report("free", route_free(pointer));
    }
    counted(first);
    ended_elsewhere(first, true, context_destroy);
    ended_elsewhere(first, false, context_destroy);
    ended_elsewhere(first, true, context_detach);
    ended_elsewhere(first, false, context_detach);
    primary_ended_elsewhere(first);
    beside_primary(first);
    refused(first);
    with_client(first);
    route_report("last error", route_last_error());
    return 0;
}
