/* SPDX-License-Identifier: MIT */
/*
 * Asks the pool, if there is one, what include/cupool.h offers, step by step. "frag" frees every
 * second of many blocks, so that no free piece is large.
 */
#include <cuda_runtime_api.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "include/cupool.h"

#define MIB   ((size_t)1 << 20)
#define COUNT 64

static void *blocks[COUNT];

static void show(const char *step)
{
    struct cupool_memory_stats stats;
    memset(&stats, 0x5a, sizeof stats);
    errno = 77;
    int error = cupool_memory_stats(&stats);
    if (error) {
        printf("%s: error %d, errno %d\n", step, error, errno);
        return;
    }
    printf("%s: reserved %llu live %llu quarantined %llu free %llu waste %llu requested %llu "
           "peak %llu largest %llu returnable %llu mapped %llu page %llu holes %llu stitched %llu "
           "errno %d\n",
           step, stats.reserved_bytes, stats.live_bytes, stats.quarantined_bytes, stats.free_bytes,
           stats.waste_bytes, stats.requested_bytes, stats.requested_peak_bytes,
           stats.largest_free_bytes, stats.returnable_bytes, stats.mapped_bytes, stats.page_bytes,
           stats.holes, stats.stitched_bytes, errno);
}

static void *elsewhere(void *unused)
{
    show("thread");
    printf("thread trim: %lld\n", cupool_trim(1ull << 40));
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    show("before");
    printf("trim: %lld\n", cupool_trim(0));
    printf("defragment: %lld\n", cupool_defragment());
    printf("NULL: %d\n", cupool_memory_stats(NULL));
    for (int i = 0; i < COUNT; i++)
        if (cudaMalloc(&blocks[i], 3 * MIB) != cudaSuccess)
            return 1;
    show("full");
    for (int i = 0; i < COUNT; i += 2)
        cudaFree(blocks[i]);
    cudaDeviceSynchronize();
    printf("defragment: %lld\n", cupool_defragment());
    show("half");
    pthread_create(&thread, NULL, elsewhere, NULL);
    pthread_join(thread, NULL);
    printf("trim to 16 MiB: %lld\n", cupool_trim(16 * MIB));
    show("trimmed");
    printf("trim: %lld\n", cupool_trim(0));
    show("empty");
    for (int i = 1; i < COUNT; i += 2)
        cudaFree(blocks[i]);
    printf("trim: %lld\n", cupool_trim(0));
    show("end");
    return 0;
}
