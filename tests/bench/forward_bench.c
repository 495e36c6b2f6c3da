/* SPDX-License-Identifier: MIT */
/*
 * Costs of single calls that the pool does not serve: a driver program that knows nothing of
 * cupool and prints, for each call, the nanoseconds of the quickest of several rounds as one JSON
 * object. The difference between a bare and a preloaded run is the cost of a hook.
 */
#include <cuda.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/bench/bench.h"

#define CALLS  20000
#define ROUNDS 15

static CUdeviceptr block;
static CUstream stream;

static void memory_info(void)
{
    size_t free_bytes, total;

    cuMemGetInfo(&free_bytes, &total);
}

static void in_order(void)
{
    CUdeviceptr pointer;

    cuMemAllocAsync(&pointer, 1000, stream);
    cuMemFreeAsync(pointer, stream);
}

static void page_locked(void)
{
    void *pointer;

    cuMemHostAlloc(&pointer, 1000, 0);
    cuMemFreeHost(pointer);
}

static void ordinary(void)
{
    CUdeviceptr pointer;

    cuMemAlloc(&pointer, 1000);
    cuMemFree(pointer);
}

static void stream_query(void)
{
    cuStreamQuery(stream);
}

static void attribute(void)
{
    unsigned long long id;

    cuPointerGetAttribute(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, block);
}

static void not_hooked(void)
{
    CUdevice device;

    cuCtxGetDevice(&device);
}

static double quickest_ns(void (*call)(void), int calls)
{
    double best = 0;

    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_ns();

        for (int i = 0; i < calls; i++)
            call();
        double each = (now_ns() - begin) / calls;
        if (round == 0 || each < best)
            best = each;
    }
    return best;
}

int main(void)
{
    static const struct {
        const char *name;
        void (*call)(void);
        int calls;
    } cases[] = {
        {"cuMemGetInfo", memory_info, CALLS},
        {"cuStreamQuery", stream_query, CALLS},
        {"cuMemAllocAsync + cuMemFreeAsync", in_order, CALLS / 10},
        {"cuMemHostAlloc + cuMemFreeHost", page_locked, CALLS / 100},
        {"cuMemAlloc + cuMemFree", ordinary, CALLS / 10},
        {"cuPointerGetAttribute", attribute, CALLS},
        {"cuCtxGetDevice (not hooked)", not_hooked, CALLS},
    };
    CUcontext context;

    if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context) ||
        cuMemAlloc(&block, 1000) || cuStreamCreate(&stream, CU_STREAM_DEFAULT)) {
        fprintf(stderr, "forward_bench: no CUDA device\n");
        return 1;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        printf("%s\"%s\": %.1f", i ? ", " : "{", cases[i].name,
               quickest_ns(cases[i].call, cases[i].calls));
    printf("}\n");
    return 0;
}
