/* SPDX-License-Identifier: MIT */
/*
 * Fills the device with blocks, frees every eighth but the first ones, and repeats a request that
 * does not fit; refused.py counts the driver's calls. Afterwards frees make room, and requests that
 * fit it must succeed.
 *
 *   refused BLOCK WANTED REFUSALS idle|busy
 *   refused cached
 *
 * "cached": a request fits only if all return what they keep, the driver's own pool too.
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check.h"

#define MOST 65536
#define MIB  ((size_t)1 << 20)

static void *blocks[MOST];
static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;

static void CUDART_CB until_unlocked(void *mutex)
{
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
}

static int fill(size_t bytes)
{
    int count = 0;

    while (count < MOST && cudaMalloc(&blocks[count], bytes) == cudaSuccess)
        count++;
    for (int index = 16; index < count; index += 8)
        OK(cudaFree(blocks[index]));
    return count;
}

static int cached(void)
{
    uint64_t all = UINT64_MAX;
    cudaMemPool_t pool;
    void *pointer;

    OK(cudaDeviceGetDefaultMemPool(&pool, 0));
    OK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all));
    OK(cudaMallocAsync(&pointer, 600 * MIB, NULL));
    OK(cudaFreeAsync(pointer, NULL));
    OK(cudaDeviceSynchronize());
    for (int index = 0; index < 3; index++)
        OK(cudaMalloc(&blocks[index], 100 * MIB));
    OK(cudaFree(blocks[0]));
    printf("fits: %d\n", (int)cudaMalloc(&pointer, 550 * MIB));
    return 0;
}

int main(int count, char **arguments)
{
    if (count < 4)
        return cached();
    size_t bytes = strtoull(arguments[1], NULL, 0), wanted = strtoull(arguments[2], NULL, 0);
    int refusals = atoi(arguments[3]), refused = 0;
    bool is_busy = count > 4 && strcmp(arguments[4], "busy") == 0;
    void *pointer;

    printf("some: %d\n", fill(bytes) > 20);
    pthread_mutex_lock(&busy);
    if (is_busy)
        OK(cudaLaunchHostFunc(NULL, until_unlocked, &busy));
    for (int index = 0; index < refusals; index++)
        refused += cudaMalloc(&pointer, wanted) == cudaErrorMemoryAllocation;
    printf("refused: %d\n", refused);
    pthread_mutex_unlock(&busy);
    OK(cudaDeviceSynchronize());
    for (int index = 0; index < 4; index++)
        OK(cudaFree(blocks[index]));
    for (int index = 0; index < 4; index++)
        OK(cudaMalloc(&blocks[index], bytes));
    printf("last: %d\n", (int)cudaGetLastError());
    return 0;
}
