/* SPDX-License-Identifier: MIT */
/*
 * For tests of a CUDA driver, simulated or real. They are written against what cuda.h documents and
 * run bare on hardware as well; what needs the simulation's controls asks simulated() first.
 */
#ifndef SIMGPU_TESTS_DRIVER_SUPPORT_H
#define SIMGPU_TESTS_DRIVER_SUPPORT_H

#include <cuda.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static inline const char *name_of(CUresult result)
{
    const char *name = NULL;

    cuGetErrorName(result, &name);
    return name ? name : "?";
}

#define CHECK_NAME(result) name_of((CUresult)(result))
#include "tests/check.h"

static inline void *control(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

static inline bool simulated(void)
{
    return control("simgpu_hold") != NULL;
}

static inline void hold(CUstream stream)
{
    int (*function)(CUstream) = (int (*)(CUstream))control("simgpu_hold");

    CHECK(function(stream) == 0);
}

static inline void release(CUstream stream)
{
    int (*function)(CUstream) = (int (*)(CUstream))control("simgpu_release");

    CHECK(function(stream) == 0);
}

/** cuInit and the primary context of the first device; exit 77 without a device. */
static inline CUcontext start(void)
{
    CUdevice device;
    CUcontext ctx;

    if (cuInit(0) != CUDA_SUCCESS || cuDeviceGet(&device, 0) != CUDA_SUCCESS) {
        printf("skip: no CUDA device\n");
        exit(77);
    }
    OK(cuDevicePrimaryCtxRetain(&ctx, device));
    OK(cuCtxSetCurrent(ctx));
    return ctx;
}

static inline size_t free_bytes(void)
{
    size_t available, total;

    OK(cuMemGetInfo_v2(&available, &total));
    return available;
}

#endif
