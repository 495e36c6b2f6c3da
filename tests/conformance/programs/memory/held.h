/* SPDX-License-Identifier: MIT */
/*
 * What each device says is taken of it, step by step: the programs held_* make memory of one family
 * each and print how much is held, so that lifetime and place show in one number for each device.
 * Sizes are whole pages, so the numbers are exact.
 */
#ifndef CONFORMANCE_HELD_H
#define CONFORMANCE_HELD_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define HELD_DEVICES 2
#define PAGE         ((size_t)2 << 20)
#define RANGE        ((size_t)64 * PAGE)

static size_t held_free[HELD_DEVICES];
static CUcontext held_contexts[HELD_DEVICES];

static inline void report(const char *step, CUresult result)
{
    const char *name = "?";

    DRIVER(cuGetErrorName)(result, &name);
    printf("%s: %s\n", step, name);
}

static inline size_t free_now(void)
{
    size_t free_bytes = 0, total = 0;

    route_memory_info(&free_bytes, &total);
    return free_bytes;
}

/* Contexts of all devices, the first one current, and the initial free memory. */
static inline void held_start(void)
{
    int devices = 0;

    route_start();
    route_free(NULL);
    DRIVER(cuDeviceGetCount)(&devices);
    if (devices < HELD_DEVICES)
        route_skip("needs two devices");
    for (int i = 0; i < HELD_DEVICES; i++) {
        DRIVER(cuDevicePrimaryCtxRetain)(&held_contexts[i], i);
        DRIVER(cuCtxSetCurrent)(held_contexts[i]);
        held_free[i] = free_now();
    }
    DRIVER(cuCtxSetCurrent)(held_contexts[0]);
}

/* What asked for the version of an earlier release has no memory in graphs. */
static inline void held_needs_graphs(void)
{
    if (!DRIVER(cuDeviceGraphMemTrim))
        route_skip("no memory in graphs");
}

static inline void held(const char *when)
{
    CUcontext current = NULL;

    DRIVER(cuCtxGetCurrent)(&current);
    printf("%s:", when);
    for (int i = 0; i < HELD_DEVICES; i++) {
        DRIVER(cuCtxSetCurrent)(held_contexts[i]);
        printf(" %lld", (long long)(held_free[i] - free_now()) / 1024);
    }
    printf(" KiB held\n");
    DRIVER(cuCtxSetCurrent)(current);
    fflush(stdout);
}

static inline CUmemAllocationProp physical_of(CUmemLocationType type, int id)
{
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = type, .id = id}};

    return properties;
}

static inline CUmemPoolProps pool_of(CUmemLocationType type, int id)
{
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {.type = type, .id = id}};

    return properties;
}

static inline CUmemGenericAllocationHandle physical_make(size_t pages)
{
    CUmemAllocationProp properties = physical_of(CU_MEM_LOCATION_TYPE_DEVICE, 0);
    CUmemGenericAllocationHandle handle = 0;

    report("create", DRIVER(cuMemCreate)(&handle, pages * PAGE, &properties, 0));
    return handle;
}

#endif
