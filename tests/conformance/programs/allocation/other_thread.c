/* SPDX-License-Identifier: MIT */
/* Blocks freed on other threads, and with another device current. */
#include <pthread.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

#define BLOCKS 64

static void *blocks[BLOCKS];

static void *free_all(void *device)
{
    int errors = 0;
    door_start();
    if (door_is_runtime)
        door_report("device", (int)door_runtime.cudaSetDevice(*(int *)device));
    for (int i = 0; i < BLOCKS; i++)
        errors += door_free(blocks[i]) != 0;
    printf("errors: %d\n", errors);
    return NULL;
}

static void round_of(int device_of_free)
{
    pthread_t thread;
    int errors = 0;
    for (int i = 0; i < BLOCKS; i++)
        errors += door_allocate(&blocks[i], (size_t)1 << (i % 23)) != 0;
    printf("errors: %d\n", errors);
    if (pthread_create(&thread, NULL, free_all, &device_of_free) == 0)
        pthread_join(thread, NULL);
    printf("freed once more: %s\n", door_error_name(door_free(blocks[3])));
    door_report("last error", door_last_error());
}

int program_other_thread(const char *self, const char *door, const char *argument)
{
    int devices = 0;
    door_start();
    round_of(0);
    round_of(0);
    if (door_is_runtime)
        door_report("devices", (int)door_runtime.cudaGetDeviceCount(&devices));
    if (devices > 1)
        round_of(1);
    return 0;
}
