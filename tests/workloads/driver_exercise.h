/* SPDX-License-Identifier: MIT */
/*
 * Shared by the two driver-API programs, whichever way they found the driver's functions.
 *
 * The functions used are one table; a program fills one `struct driver` per route (linked, dlsym,
 * cuGetProcAddress) and runs the same exercise through it: contexts, streams, memset, copies,
 * verification on the host, frees while copies are under way. Output depends on neither addresses
 * nor timing. One thread.
 */
#ifndef WORKLOADS_DRIVER_EXERCISE_H
#define WORKLOADS_DRIVER_EXERCISE_H

#include "tests/workloads/check.h"

#include <cuda.h>
#include <cudaTypedefs.h>

#include <string.h>

#if CUDA_VERSION >= 13000
#define DRIVER_CTX_CREATE(X)  X(cuCtxCreate, 12050)
#define CTX_CREATE_PARAMETERS NULL,
#else
#define DRIVER_CTX_CREATE(X) X(cuCtxCreate, 3020)
#define CTX_CREATE_PARAMETERS
#endif

/* The name in cuda.h and the version of its prototype in cudaTypedefs.h. */
#define DRIVER_FUNCTIONS(X)                                                                        \
    X(cuInit, 2000)                                                                                \
    X(cuDeviceGet, 2000)                                                                           \
    X(cuDevicePrimaryCtxRetain, 7000)                                                              \
    X(cuDevicePrimaryCtxRelease, 11000)                                                            \
    DRIVER_CTX_CREATE(X)                                                                           \
    X(cuCtxDestroy, 4000)                                                                          \
    X(cuCtxSetCurrent, 4000)                                                                       \
    X(cuCtxSynchronize, 2000)                                                                      \
    X(cuMemAlloc, 3020)                                                                            \
    X(cuMemAllocPitch, 3020)                                                                       \
    X(cuMemFree, 3020)                                                                             \
    X(cuMemAllocHost, 3020)                                                                        \
    X(cuMemFreeHost, 2000)                                                                         \
    X(cuMemGetInfo, 3020)                                                                          \
    X(cuMemGetAddressRange, 3020)                                                                  \
    X(cuPointerGetAttribute, 4000)                                                                 \
    X(cuMemsetD8Async, 3020)                                                                       \
    X(cuMemsetD32Async, 3020)                                                                      \
    X(cuMemcpyDtoDAsync, 3020)                                                                     \
    X(cuMemcpyDtoHAsync, 3020)                                                                     \
    X(cuMemcpyHtoDAsync, 3020)                                                                     \
    X(cuStreamCreate, 2000)                                                                        \
    X(cuStreamDestroy, 4000)                                                                       \
    X(cuStreamSynchronize, 2000)                                                                   \
    X(cuStreamWaitEvent, 3020)                                                                     \
    X(cuEventCreate, 2000)                                                                         \
    X(cuEventRecord, 2000)                                                                         \
    X(cuEventDestroy, 4000)                                                                        \
    X(cuGetErrorName, 6000)

/** The driver, as one route shows it. */
struct driver {
    const char *route;
#define DRIVER_FIELD(name, version) PFN_##name##_v##version name##_pfn;
    DRIVER_FUNCTIONS(DRIVER_FIELD)
#undef DRIVER_FIELD
};

#define DRIVER_CHECK(driver, call) driver_check((driver), (driver)->call, #call)

static inline void driver_check(const struct driver *driver, CUresult result, const char *call)
{
    const char *name = NULL;
    if (result == CUDA_SUCCESS)
        return;
    driver->cuGetErrorName_pfn(result, &name);
    fprintf(stderr, "%s: %s: %s\n", driver->route, call, name ? name : "unknown error");
    exit(1);
}

#define EXERCISE_BLOCKS 48
#define EXERCISE_MOST   ((size_t)1 << 20)

/** One pass: its streams, its pinned buffer, its results so far. */
struct exercise {
    const struct driver *driver;
    CUstream streams[2];
    CUevent ordered;
    unsigned char *host; /* pinned, EXERCISE_MOST bytes */
    unsigned long long mismatches, sum, bytes;
};

static inline size_t exercise_size(unsigned i)
{
    double unit = hash_unit(hash_at(1, 1, i));
    size_t bytes = (size_t)1 << (unsigned)(unit * 20);
    return bytes + hash_at(1, 2, i) % bytes;
}

/** Reads a block back and compares every byte: each is the low byte of the word at its place. */
static inline void exercise_verify(struct exercise *exercise, CUdeviceptr block, size_t bytes,
                                   unsigned word, CUstream stream)
{
    const struct driver *driver = exercise->driver;
    DRIVER_CHECK(driver, cuMemcpyDtoHAsync_pfn(exercise->host, block, bytes, stream));
    DRIVER_CHECK(driver, cuStreamSynchronize_pfn(stream));
    for (size_t i = 0; i < bytes; i++) {
        exercise->mismatches += exercise->host[i] != (unsigned char)(word >> (8 * (i % 4)));
        exercise->sum += (i + 1) * exercise->host[i];
    }
    exercise->bytes += bytes;
}

/** Fill on one stream, copy on the other, free the origin at once, verify the copy, free it. */
static inline void exercise_block(struct exercise *exercise, unsigned i)
{
    const struct driver *driver = exercise->driver;
    CUstream fill = exercise->streams[i % 2], copy = exercise->streams[(i / 2) % 2];
    size_t bytes = exercise_size(i);
    unsigned word = (unsigned)hash_at(2, 0, i);
    CUdeviceptr origin = 0, target = 0;
    DRIVER_CHECK(driver, cuMemAlloc_pfn(&origin, bytes));
    DRIVER_CHECK(driver, cuMemAlloc_pfn(&target, bytes));
    if (bytes % 4 != 0) {
        word = (word & 0xff) * 0x01010101u;
        DRIVER_CHECK(driver, cuMemsetD8Async_pfn(origin, (unsigned char)word, bytes, fill));
    } else {
        DRIVER_CHECK(driver, cuMemsetD32Async_pfn(origin, word, bytes / 4, fill));
    }
    DRIVER_CHECK(driver, cuEventRecord_pfn(exercise->ordered, fill));
    DRIVER_CHECK(driver, cuStreamWaitEvent_pfn(copy, exercise->ordered, 0));
    DRIVER_CHECK(driver, cuMemcpyDtoDAsync_pfn(target, origin, bytes, copy));
    DRIVER_CHECK(driver, cuMemFree_pfn(origin));
    exercise_verify(exercise, target, bytes, word, copy);
    DRIVER_CHECK(driver, cuMemFree_pfn(target));
}

/** A range that holds the block, and attributes that agree with each other. */
static inline int exercise_range_agrees(const struct exercise *exercise, CUcontext context)
{
    const struct driver *driver = exercise->driver;
    CUdeviceptr block = 0, base = 0;
    CUcontext owner = NULL;
    CUmemorytype type = (CUmemorytype)0;
    size_t size = 0, bytes = 3 << 20;
    DRIVER_CHECK(driver, cuMemAlloc_pfn(&block, bytes));
    DRIVER_CHECK(driver, cuMemGetAddressRange_pfn(&base, &size, block + bytes / 2));
    DRIVER_CHECK(driver,
                 cuPointerGetAttribute_pfn(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, block + 1));
    DRIVER_CHECK(driver,
                 cuPointerGetAttribute_pfn(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, block + 1));
    DRIVER_CHECK(driver, cuMemFree_pfn(block));
    return base <= block && base + size >= block + bytes && owner == context &&
           type == CU_MEMORYTYPE_DEVICE;
}

/** A large block reduces free memory by at least its size. */
static inline int exercise_info_agrees(const struct exercise *exercise)
{
    const struct driver *driver = exercise->driver;
    size_t before = 0, after = 0, total = 0, bytes = 32 << 20;
    CUdeviceptr block = 0;
    DRIVER_CHECK(driver, cuMemGetInfo_pfn(&before, &total));
    DRIVER_CHECK(driver, cuMemAlloc_pfn(&block, bytes));
    DRIVER_CHECK(driver, cuMemGetInfo_pfn(&after, &total));
    DRIVER_CHECK(driver, cuMemFree_pfn(block));
    return before <= total && after + bytes <= before;
}

/** Rows of a pitched allocation written one by one and read back. */
static inline void exercise_pitch(struct exercise *exercise)
{
    const struct driver *driver = exercise->driver;
    CUdeviceptr block = 0;
    size_t pitch = 0, width = 1000, height = 20;
    DRIVER_CHECK(driver, cuMemAllocPitch_pfn(&block, &pitch, width, height, 4));
    for (size_t row = 0; row < height; row++)
        DRIVER_CHECK(driver, cuMemsetD8Async_pfn(block + row * pitch, (unsigned char)row, width,
                                                 exercise->streams[0]));
    for (size_t row = 0; row < height; row++)
        exercise_verify(exercise, block + row * pitch, width, (unsigned)row * 0x01010101u,
                        exercise->streams[0]);
    DRIVER_CHECK(driver, cuMemFree_pfn(block));
}

static inline void exercise_context(const struct driver *driver, CUcontext context,
                                    const char *name)
{
    struct exercise exercise;
    memset(&exercise, 0, sizeof(exercise));
    exercise.driver = driver;
    DRIVER_CHECK(driver, cuCtxSetCurrent_pfn(context));
    for (int i = 0; i < 2; i++)
        DRIVER_CHECK(driver, cuStreamCreate_pfn(&exercise.streams[i], CU_STREAM_NON_BLOCKING));
    DRIVER_CHECK(driver, cuEventCreate_pfn(&exercise.ordered, CU_EVENT_DISABLE_TIMING));
    DRIVER_CHECK(driver, cuMemAllocHost_pfn((void **)&exercise.host, EXERCISE_MOST));

    for (unsigned i = 0; i < EXERCISE_BLOCKS; i++)
        exercise_block(&exercise, i);
    exercise_pitch(&exercise);
    printf("%s %s: bytes %llu mismatches %llu sum %016llx range %s info %s\n", driver->route, name,
           exercise.bytes, exercise.mismatches, exercise.sum,
           exercise_range_agrees(&exercise, context) ? "agrees" : "differs",
           exercise_info_agrees(&exercise) ? "agrees" : "differs");

    DRIVER_CHECK(driver, cuMemFreeHost_pfn(exercise.host));
    DRIVER_CHECK(driver, cuEventDestroy_pfn(exercise.ordered));
    for (int i = 0; i < 2; i++)
        DRIVER_CHECK(driver, cuStreamDestroy_pfn(exercise.streams[i]));
}

/** The exercise in the primary context and in one of its own, which dies with a block alive. */
static inline void exercise_driver(const struct driver *driver)
{
    CUdevice device = 0;
    CUcontext primary = NULL, own = NULL;
    CUdeviceptr left_behind = 0;
    DRIVER_CHECK(driver, cuInit_pfn(0));
    DRIVER_CHECK(driver, cuDeviceGet_pfn(&device, 0));
    DRIVER_CHECK(driver, cuDevicePrimaryCtxRetain_pfn(&primary, device));
    DRIVER_CHECK(driver, cuCtxCreate_pfn(&own, CTX_CREATE_PARAMETERS 0, device));
    exercise_context(driver, primary, "primary context");
    exercise_context(driver, own, "own context");
    DRIVER_CHECK(driver, cuMemAlloc_pfn(&left_behind, 5 << 20));
    DRIVER_CHECK(driver, cuCtxDestroy_pfn(own));
    exercise_context(driver, primary, "primary context again");
    DRIVER_CHECK(driver, cuCtxSynchronize_pfn());
    DRIVER_CHECK(driver, cuDevicePrimaryCtxRelease_pfn(device));
}

#endif
