/* SPDX-License-Identifier: MIT */
/*
 * A program that runs out of memory by fragmentation: three generations of blocks, of which every
 * fourth stays. All are a little larger than what driver allocations come in, and each generation
 * is of another size, so what is free would do for the next one, in no piece that fits. Every block
 * is filled and looked at before its free.
 *
 * Exit 0: all was had; 1: it ran out of memory, and says when.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB   ((size_t)1 << 20)
#define COUNT 64

static unsigned char page[4096];

static int fill(void *block, size_t bytes, int value)
{
    return cudaMemset(block, value, bytes) != cudaSuccess;
}

static int wrong(const void *block, size_t bytes, int value)
{
    int count = 0;
    for (size_t at = 0; at < bytes; at += 64 * sizeof page) {
        cudaMemcpy(page, (const char *)block + at, sizeof page, cudaMemcpyDeviceToHost);
        for (size_t i = 0; i < sizeof page; i++)
            count += page[i] != value;
    }
    return count;
}

int main(void)
{
    static const size_t generations[] = {5 * MIB + 100000, 11 * MIB + 100000, 2 * MIB + 100000};
    static const size_t counts[] = {24, 12, 64};
    static void *kept[COUNT * 3];
    static size_t bytes_of[COUNT * 3];
    static int value_of[COUNT * 3];
    size_t kept_count = 0;
    int bad = 0;
    for (size_t g = 0; g < sizeof generations / sizeof *generations; g++) {
        void *blocks[COUNT] = {NULL};
        size_t bytes = generations[g], count = counts[g];
        for (size_t i = 0; i < count; i++) {
            if (cudaMalloc(&blocks[i], bytes) != cudaSuccess) {
                printf("out of memory: generation %zu, block %zu of %zu\n", g, i, count);
                return 1;
            }
            bad += fill(blocks[i], bytes, (int)(i + 1));
        }
        for (size_t i = 0; i < count; i++) {
            bad += wrong(blocks[i], bytes, (int)(i + 1));
            if (i % 4 == 3 && g < 2) {
                bytes_of[kept_count] = bytes;
                value_of[kept_count] = (int)(i + 1);
                kept[kept_count++] = blocks[i];
            } else {
                cudaFree(blocks[i]);
            }
        }
    }
    for (size_t i = 0; i < kept_count; i++) {
        bad += wrong(kept[i], bytes_of[i], value_of[i]);
        cudaFree(kept[i]);
    }
    printf("done, wrong %d\n", bad);
    return 0;
}
