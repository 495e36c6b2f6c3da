/* SPDX-License-Identifier: MIT */
/*
 * Frees long after the last allocation: with `idle_trim` such a free returns free memory.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <unistd.h>

#define BLOCKS 6
#define BYTES  ((size_t)16 << 20)

int main(void)
{
    void *block[BLOCKS];
    int errors = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < BLOCKS; i++)
            errors += cudaMalloc(&block[i], BYTES + (size_t)(round * i) * 4096) != cudaSuccess;
        for (int i = 0; i < BLOCKS; i++) {
            errors += cudaFree(block[i]) != cudaSuccess;
            usleep(5000);
        }
    }
    printf("errors %d\n", errors);
    return errors != 0;
}
