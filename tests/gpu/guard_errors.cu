/* SPDX-License-Identifier: MIT */
/*
 * A program with a kernel that makes one invalid access per run: guard_errors WAY BYTES
 *
 *   clean        nowhere
 *   last         the last byte of its block, which is no error
 *   overrun      one byte behind it
 *   overrun_far  one byte 64 KiB behind it
 *   overrun_read the byte behind it is read
 *   underrun     one byte in front of it
 *   freed        a byte of a block that was freed
 *   freed_read   the same, read
 *   freed_old    the same, when 40 blocks have come and gone since
 *
 * It checks errors, and prints the block and the device's result.
 */
#include "tests/gpu/guard_errors_kernels.cuh"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 8
#define LATER  40

static void call(cudaError_t result)
{
    if (result == cudaSuccess)
        return;
    fprintf(stderr, "guard_errors: %s\n", cudaGetErrorName(result));
    exit(1);
}

static unsigned char *take(size_t bytes)
{
    void *made;
    call(cudaMalloc(&made, bytes));
    return (unsigned char *)made;
}

static void write_at(unsigned char *at, uint64_t bytes)
{
    guard_write<<<1, 1>>>(at, bytes, 7);
}

static void read_at(const unsigned char *at, uint32_t *sum)
{
    guard_read<<<1, 1>>>(at, 1, sum);
}

__attribute__((noinline)) static void block_drop(unsigned char *block)
{
    call(cudaFree(block));
}

static void churn(size_t bytes)
{
    for (int i = 0; i < LATER; i++)
        call(cudaFree(take(bytes)));
}

static void go_wrong(const char *way, unsigned char *block, size_t bytes, uint32_t *sum)
{
    if (strcmp(way, "last") == 0)
        write_at(block + bytes - 1, 1);
    else if (strcmp(way, "overrun") == 0)
        write_at(block + bytes, 1);
    else if (strcmp(way, "overrun_far") == 0)
        write_at(block + bytes + 65536, 1);
    else if (strcmp(way, "overrun_read") == 0)
        read_at(block + bytes, sum);
    else if (strcmp(way, "underrun") == 0)
        write_at(block - 1, 1);
    else if (strcmp(way, "freed") == 0 || strcmp(way, "freed_old") == 0)
        write_at(block + bytes / 2, 1);
    else if (strcmp(way, "freed_read") == 0)
        read_at(block + bytes / 2, sum);
}

int main(int count, char **words)
{
    unsigned char *blocks[BLOCKS];
    const char *way = count > 1 ? words[1] : "clean";
    size_t bytes = count > 2 ? strtoull(words[2], NULL, 10) : 4u << 20;
    bool frees = strncmp(way, "freed", 5) == 0;
    uint32_t *sum = (uint32_t *)take(sizeof(*sum));

    for (int at = 0; at < BLOCKS; at++) {
        blocks[at] = take(bytes);
        write_at(blocks[at], bytes);
    }
    call(cudaDeviceSynchronize());
    printf("block: %p\n", (void *)blocks[3]);
    if (frees)
        block_drop(blocks[3]);
    if (strcmp(way, "freed_old") == 0)
        churn(bytes);
    go_wrong(way, blocks[3], bytes, sum);
    printf("device: %s\n", cudaGetErrorName(cudaDeviceSynchronize()));
    for (int at = 0; at < BLOCKS; at++)
        if (at != 3 || !frees)
            cudaFree(blocks[at]); /* a broken context refuses */
    cudaFree(sum);
    return 0;
}
