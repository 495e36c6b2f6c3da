/* SPDX-License-Identifier: MIT */
/*
 * A program with one memory error a run: memory_errors WAY [check|exit|release|detach|-] [BYTES].
 * With "check" it calls cupool_check() before its memory is freed, and prints the result; with
 * "release" and "detach" its memory ends with its context, a primary one or its own.
 */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/cupool.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* cuCtxDetach is part of the ABI */

#define BLOCKS 24

static char *blocks[BLOCKS];
static size_t bytes = 100000;

static void call(cudaError_t result)
{
    if (result == cudaSuccess)
        return;
    fprintf(stderr, "CUDA error %d\n", (int)result);
    exit(1);
}

static char *take(size_t size)
{
    void *made;
    call(cudaMalloc(&made, size));
    return made;
}

static void write_at(char *place, int value, size_t count)
{
    call(cudaMemset(place, value, count));
}

__attribute__((noinline)) static void blocks_take(void)
{
    for (int at = 0; at < BLOCKS; at++)
        blocks[at] = take(bytes);
}

__attribute__((noinline)) static void blocks_free(void)
{
    for (int at = 0; at < BLOCKS; at++)
        if (blocks[at])
            call(cudaFree(blocks[at]));
}

/* The block with the lowest address, so that memory behind it is also the program's. */
static char *lowest(void)
{
    char *found = blocks[0];
    for (int at = 1; at < BLOCKS; at++)
        if (blocks[at] < found)
            found = blocks[at];
    return found;
}

static void freed_write(size_t beside)
{
    char *gone = blocks[3], *large = beside ? take(beside) : NULL;
    call(cudaFree(gone));
    blocks[3] = NULL;
    write_at(gone + 77, 9, 1);
    call(cudaFree(large));
    blocks[3] = take(bytes);
}

/* Fills the device, so that freed memory is reused, and empties it. */
static void device_fill(size_t size)
{
    void *made[64];
    int count = 0;
    while (count < 64 && cudaMalloc(&made[count], size) == cudaSuccess)
        count++;
    (void)cudaGetLastError();
    while (count > 0)
        call(cudaFree(made[--count]));
}

/* Memory is freed, and wanted again, beside a capture, which keeps fences from being recorded. The
 * last byte of a block was written beyond before. */
static void freed_in_capture(bool overrun)
{
    cudaStream_t stream;
    cudaGraph_t graph;
    call(cudaStreamCreate(&stream));
    char *block = take(3 << 20);
    if (overrun)
        write_at(block + (3 << 20), 7, 1);
    call(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    call(cudaFree(block));
    device_fill(3 << 20);
    for (size_t mib = 40; mib > 8; mib -= 4)
        call(cudaFree(take(mib << 20)));
    call(cudaStreamEndCapture(stream, &graph));
    for (size_t mib = 4; mib < 40; mib += 4)
        call(cudaFree(take(mib << 20)));
    call(cudaDeviceSynchronize());
}

static void CUDART_CB until_unlocked(void *mutex)
{
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
}

/* A reference to the context, not the last, is released beside a capture, and work of the device
 * ends only afterwards. */
static void released_in_capture(void)
{
    static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;
    cudaStream_t stream, other;
    cudaGraph_t graph;
    CUcontext primary;

    call(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    call(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    pthread_mutex_lock(&busy);
    call(cudaLaunchHostFunc(other, until_unlocked, &busy));
    call(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    call((cudaError_t)cuDevicePrimaryCtxRetain(&primary, 0));
    call((cudaError_t)cuDevicePrimaryCtxRelease(0));
    pthread_mutex_unlock(&busy);
    call(cudaStreamEndCapture(stream, &graph));
}

/* Freed memory is reused in another size after the free of a large block has waited. */
static void reused_behind_a_large_one(void)
{
    char *whole = take((size_t)1 << 30); /* beside it a large one is no reason for a fence */
    char *large = take((size_t)1 << 20);
    static char *small[200];
    for (int at = 0; at < 200; at++)
        small[at] = take(1000);
    for (int at = 0; at < 200; at++)
        call(cudaFree(small[at]));
    call(cudaFree(large));
    for (int at = 0; at < 200; at++)
        write_at(small[at] = take(1020), at, 1020);
    for (int at = 0; at < 200; at++)
        call(cudaFree(small[at]));
    call(cudaFree(whole));
}

int main(int count, char **words)
{
    const char *way = count > 1 ? words[1] : "", *end = count > 2 ? words[2] : "";
    CUcontext own;
    if (count > 3)
        bytes = strtoull(words[3], NULL, 10);
    if (strcmp(end, "detach") == 0 &&
        (cuInit(0) != CUDA_SUCCESS || cuCtxCreate(&own, NULL, 0, 0) != CUDA_SUCCESS))
        return 2;
    blocks_take();
    for (int at = 0; at < BLOCKS; at++)
        write_at(blocks[at], at, bytes);
    printf("block: %p\n", strcmp(way, "overrun_far") == 0 ? (void *)lowest() : (void *)blocks[3]);
    if (strcmp(way, "overrun") == 0)
        write_at(blocks[3], 5, bytes + 1);
    else if (strcmp(way, "overrun_far") == 0)
        write_at(lowest(), 5, bytes + 65536);
    else if (strcmp(way, "underrun") == 0)
        write_at(blocks[3] - 8, 6, 8);
    else if (strcmp(way, "freed") == 0)
        freed_write(0);
    else if (strcmp(way, "freed_beside") == 0)
        freed_write((size_t)4 << 20);
    else if (strcmp(way, "released") == 0)
        released_in_capture();
    else if (strncmp(way, "capture", strlen("capture")) == 0)
        freed_in_capture(strcmp(way, "capture_overrun") == 0);
    else if (strcmp(way, "reused") == 0)
        reused_behind_a_large_one();
    else if (strcmp(way, "clean") != 0)
        return 2;
    call(cudaDeviceSynchronize());
    if (strcmp(end, "check") == 0) {
        int first = cupool_check();
        printf("check: %d, again: %d\n", first, cupool_check());
    }
    if (strcmp(end, "exit") == 0)
        return 0; /* nothing is freed */
    if (strcmp(end, "release") == 0)
        return (int)cuDevicePrimaryCtxRelease(0);
    if (strcmp(end, "detach") == 0)
        return (int)cuCtxDetach(own);
    blocks_free();
    return 0;
}
