/* SPDX-License-Identifier: MIT */
/*
 * Fills the device with blocks, frees every eighth but the first ones, and repeats a request that
 * does not fit; refused.py counts the driver's calls. Afterwards frees make room, and requests that
 * fit it must succeed.
 *
 *   refused BLOCK WANTED REFUSALS idle|busy
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check.h"

#define MOST 65536

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

int main(int count, char **arguments)
{
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
