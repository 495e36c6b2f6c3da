/* SPDX-License-Identifier: MIT */
/*
 * All visible devices: their identity, memory on each at the same time, and frees with another
 * device current.
 */
#include <stdio.h>

#include "route.h"
#include "program.h"

#define DEVICES 8
#define BLOCKS  6
#define BYTES   7000

static CUcontext contexts[DEVICES];

static int use(int device)
{
    if (route_is_runtime)
        return (int)route_runtime.cudaSetDevice(device);
    if (!contexts[device] && DRIVER(cuDevicePrimaryCtxRetain)(&contexts[device], device))
        return 1;
    return (int)DRIVER(cuCtxSetCurrent)(contexts[device]);
}

int program_devices(const char *self, const char *route, const char *argument)
{
    static void *blocks[DEVICES][BLOCKS];
    int count = 0, errors = 0, wrong = 0;
    CUuuid uuid;
    int error = (int)DRIVER(cuInit)(0);

    if (error == 0)
        error = (int)DRIVER(cuDeviceGetCount)(&count);
    printf("count: %d, %s\n", count, error ? "error" : "no error");
    if (error || count == 0) {
        route_report("allocate", route_allocate(&blocks[0][0], BYTES));
        return 0;
    }
    count = count < DEVICES ? count : DEVICES;
    for (int device = 0; device < count; device++) {
        errors += DRIVER(cuDeviceGetUuid)(&uuid, device) != CUDA_SUCCESS;
        printf("device %d is %d\n", device, (unsigned char)uuid.bytes[15]);
        errors += use(device) != 0;
        for (int i = 0; i < BLOCKS; i++)
            errors += route_allocate(&blocks[device][i], BYTES) ||
                      route_fill(blocks[device][i], 10 * device + i, BYTES);
    }
    for (int device = 0; device < count; device++) {
        errors += use(device) != 0;
        for (int i = 0; i < BLOCKS; i++)
            wrong += route_wrong_bytes(blocks[device][i], 10 * device + i, BYTES);
        errors += use((device + 1) % count) != 0;
        for (int i = 0; i < BLOCKS; i++)
            errors += route_free(blocks[device][i]) != 0;
    }
    printf("errors: %d, wrong: %d\n", errors, wrong);
    route_report("freed twice", route_free(blocks[0][0]));
    return 0;
}
