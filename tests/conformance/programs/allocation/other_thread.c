/* SPDX-License-Identifier: MIT */
/* Blocks freed on other threads, and with another device current. */
#include <pthread.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define BLOCKS 64

static void *blocks[BLOCKS];

static void *free_all(void *device)
{
    int errors = 0;

    route_start();
    if (route_is_runtime)
        route_report("device", (int)route_runtime.cudaSetDevice(*(int *)device));
    for (int i = 0; i < BLOCKS; i++)
        errors += route_free(blocks[i]) != 0;
    printf("errors: %d\n", errors);
    return NULL;
}

static void round_of(int device_of_free)
{
    pthread_t thread;
    int errors = 0;

    for (int i = 0; i < BLOCKS; i++)
        errors += route_allocate(&blocks[i], (size_t)1 << (i % 23)) != 0;
    printf("errors: %d\n", errors);
    if (pthread_create(&thread, NULL, free_all, &device_of_free) == 0)
        pthread_join(thread, NULL);
    printf("freed once more: %s\n", route_error_name(route_free(blocks[3])));
    route_report("last error", route_last_error());
}

int program_other_thread(const char *self, const char *route, const char *argument)
{
    int devices = 0;

    route_start();
    round_of(0);
    round_of(0);
    if (route_is_runtime)
        route_report("devices", (int)route_runtime.cudaGetDeviceCount(&devices));
    if (devices > 1)
        round_of(1);
    return 0;
}
