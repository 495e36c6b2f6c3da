/* SPDX-License-Identifier: MIT */
/*
 * For tests of a CUDA driver, simulated or real. They are written against what cuda.h documents and
 * run bare on hardware as well; what needs the simulation's controls asks simulated() first.
 */
#ifndef SIMGPU_TESTS_CHECK_H
#define SIMGPU_TESTS_CHECK_H

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

/** The condition holds, or the test ends here. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/** The call returns exactly this. */
#define EXPECT(expected, call)                                                                     \
    do {                                                                                           \
        CUresult got_ = (call);                                                                    \
        if (got_ != (expected)) {                                                                  \
            fprintf(stderr, "%s:%d: %s: %s instead of %s\n", __FILE__, __LINE__, #call,            \
                    name_of(got_), #expected);                                                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define OK(call) EXPECT(CUDA_SUCCESS, call)

/** Any failure; where cuda.h does not say which. */
#define FAILS(call)                                                                                \
    do {                                                                                           \
        if ((call) == CUDA_SUCCESS) {                                                              \
            fprintf(stderr, "%s:%d: %s: succeeded\n", __FILE__, __LINE__, #call);                  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

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
