/* SPDX-License-Identifier: MIT */
/*
 *   stitch_bench stitch | grow PIECE_MIB BLOCK_MIB
 *
 * Fills four times BLOCK_MIB with pieces. With `stitch` it frees every second piece, so twice the
 * memory of a block is free, but no piece fits; with `grow` it frees nothing, so a block takes new
 * memory. Then it allocates one block between two calls of cuDeviceGetName, which delimit its calls
 * in the log of the simulated device. Prints the bytes stitched for it.
 */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/cupool.h"

#define MIB        ((size_t)1 << 20)
#define PIECES_MAX 1024u

static void *pieces[PIECES_MAX];

static unsigned long long stitched(void)
{
    struct cupool_pool_stats stats;

    return cupool_pool_stats(&stats) == 0 ? stats.stitched_bytes : 0;
}

int main(int argc, char **argv)
{
    size_t piece = argc == 4 ? strtoul(argv[2], NULL, 10) * MIB : 0;
    size_t block = argc == 4 ? strtoul(argv[3], NULL, 10) * MIB : 0;
    size_t count = piece ? 4 * block / piece : 0;
    char name[64];
    void *large;

    if (count < 4 || count > PIECES_MAX)
        return 2;
    for (size_t i = 0; i < count; i++)
        if (cudaMalloc(&pieces[i], piece) != cudaSuccess)
            return 1;
    for (size_t i = 0; i < count && strcmp(argv[1], "stitch") == 0; i += 2)
        cudaFree(pieces[i]);
    cudaDeviceSynchronize();
    unsigned long long before = stitched();
    cuDeviceGetName(name, sizeof name, 0);
    if (cudaMalloc(&large, block) != cudaSuccess)
        return 1;
    cuDeviceGetName(name, sizeof name, 0);
    printf("%llu\n", stitched() - before);
    return 0;
}
