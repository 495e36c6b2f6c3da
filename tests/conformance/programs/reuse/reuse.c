/* SPDX-License-Identifier: MIT */
/*
 * Memory freed while the device may still write to it: never handed out before that is done, and
 * handed out again afterwards. Needs a stream that can be held, so a simulated device.
 *
 * Bare, the free itself waits, so the stream is let go from another thread and only the contents
 * are printed. With the argument "held" the addresses are: for a library whose free does not wait.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "door.h"
#include "program.h"

#define BYTES 20000

static int (*hold)(CUstream);
static int (*release)(CUstream);

static void *release_soon(void *stream)
{
    usleep(20000);
    release(stream);
    return NULL;
}

/* A write is pending on the first block when it is freed; the second must not receive it. */
static void contents(CUstream stream)
{
    pthread_t thread;
    CUstream other;
    void *first, *second;
    if (DRIVER(cuStreamCreate)(&other, CU_STREAM_NON_BLOCKING))
        door_skip("no stream");
    door_report("allocate", door_allocate(&first, BYTES));
    hold(stream);
    door_report("write", door_fill_async(first, 1, BYTES, stream));
    pthread_create(&thread, NULL, release_soon, stream);
    door_report("free", door_free(first));
    door_report("allocate", door_allocate(&second, BYTES));
    door_report("fill", door_fill_async(second, 2, BYTES, other));
    pthread_join(thread, NULL);
    door_report("wait", door_synchronize());
    printf("wrong: %d\n", door_wrong_bytes(second, 2, BYTES));
    door_report("free", door_free(second));
}

/* Allocates until the device is full and counts how often the address is handed out. */
static void addresses(CUstream stream)
{
    void *first, *other;
    int same = 0, error = 0;
    door_report("allocate", door_allocate(&first, BYTES));
    hold(stream);
    door_report("write", door_fill_async(first, 1, BYTES, stream));
    door_report("free", door_free(first));
    for (int i = 0; i < 100; i++) {
        error |= door_allocate(&other, BYTES);
        same += other == first;
    }
    printf("handed out while in use: %d, error %d\n", same, error);
    release(stream);
    door_report("wait", door_synchronize());
    while (door_allocate(&other, BYTES) == 0)
        same += other == first;
    printf("handed out in the end: %d\n", same);
}

int program_reuse(const char *self, const char *door, const char *argument)
{
    CUstream stream;
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    *(void **)&hold = dlsym(cuda, "simgpu_hold");
    *(void **)&release = dlsym(cuda, "simgpu_release");
    if (!hold || !release)
        door_skip("the device cannot hold a stream");
    door_start();
    door_report("start", door_free(NULL));
    /* Ordered with no other stream, so that nothing but the free can wait. */
    if (DRIVER(cuStreamCreate)(&stream, CU_STREAM_NON_BLOCKING))
        door_skip("no stream");
    if (argument && strcmp(argument, "held") == 0)
        addresses(stream);
    else
        contents(stream);
    return 0;
}
