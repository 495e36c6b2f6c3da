/* SPDX-License-Identifier: MIT */
/*
 *   idle CALL TIMES
 *
 * Allocates and frees 64 MiB, then repeats one call until the pool has returned them, at most TIMES
 * times, a millisecond apart. One block stays for calls that need one. Prints reserved memory
 * before and after, and how often a call changed errno.
 */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/cupool.h"

#define MIB ((size_t)1 << 20)

static cudaStream_t stream;
static cudaEvent_t event;
static void *kept;

static int by_device_wait(void)
{
    return cudaDeviceSynchronize();
}

static int by_stream_wait(void)
{
    return cudaStreamSynchronize(stream);
}

static int by_stream_query(void)
{
    return cudaStreamQuery(stream);
}

static int by_event_wait(void)
{
    return cudaEventSynchronize(event);
}

static int by_event_query(void)
{
    return cudaEventQuery(event);
}

static int by_memory_info(void)
{
    size_t free_bytes, total_bytes;
    return cudaMemGetInfo(&free_bytes, &total_bytes);
}

static int by_driver_memory_info(void)
{
    size_t free_bytes, total_bytes;
    return (int)cuMemGetInfo(&free_bytes, &total_bytes);
}

static int by_driver_copy(void)
{
    char byte;
    return (int)cuMemcpyDtoH(&byte, (CUdeviceptr)kept, 1);
}

static int by_nothing(void)
{
    return 0;
}

static const struct {
    const char *name;
    int (*call)(void);
} calls[] = {
    {"device_wait", by_device_wait},   {"stream_wait", by_stream_wait},
    {"stream_query", by_stream_query}, {"event_wait", by_event_wait},
    {"event_query", by_event_query},   {"memory_info", by_memory_info},
    {"driver_copy", by_driver_copy},   {"driver_memory_info", by_driver_memory_info},
    {"nothing", by_nothing},
};

static unsigned long long reserved(void)
{
    struct cupool_pool_stats stats;
    return cupool_pool_stats(&stats) == 0 ? stats.reserved_bytes : 0;
}

int main(int argc, char **argv)
{
    int (*call)(void) = NULL;
    void *blocks[4];
    unsigned wrong = 0;
    for (size_t i = 0; argc == 3 && i < sizeof calls / sizeof *calls; i++)
        call = strcmp(calls[i].name, argv[1]) == 0 ? calls[i].call : call;
    if (!call || cudaMalloc(&kept, 64) || cudaStreamCreate(&stream) || cudaEventCreate(&event) ||
        cudaEventRecord(event, stream))
        return 2;
    for (int i = 0; i < 4; i++)
        if (cudaMalloc(&blocks[i], 16 * MIB))
            return 2;
    for (int i = 0; i < 4; i++)
        cudaFree(blocks[i]);
    unsigned long long before = reserved(), now = before;
    for (long times = strtol(argv[2], NULL, 10); times > 0 && now >= 64 * MIB; times--) {
        errno = 77;
        if (call() != 0)
            return 2;
        wrong += errno != 77;
        usleep(1000);
        now = reserved();
    }
    printf("before %llu now %llu wrong %u\n", before, now, wrong);
    return cudaFree(kept) != cudaSuccess;
}
