/* SPDX-License-Identifier: MIT */
/*
 * Counts failed allocations with LIVE_MIB of live blocks of all sizes from 256 B to 4 MiB,
 * log-uniform; or, with LARGE_PERCENT, so many of 4 to 32 MiB among blocks up to 64 KiB, uniform.
 * Before each allocation blocks at random are freed until it fits.
 *
 *   tight_device LIVE_MIB ALLOCATIONS SEED [LARGE_PERCENT]
 */
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/check.h"
#include "tests/random.h"

#define SMALLEST 256
#define LARGEST  (4 << 20)
#define BLOCKS   200000

/* Of two sizes: weights beside a cache. */
#define SMALL_MOST (64 << 10)
#define LARGE_MOST (32 << 20)

static struct block {
    void *pointer;
    size_t bytes;
} block[BLOCKS];
static size_t blocks, held_bytes;
static uint64_t state;
static unsigned long large_percent;

static uint64_t draw(void)
{
    state = random_xorshift(state);
    return state;
}

static size_t size_draw(void)
{
    double share = (double)(draw() >> 11) * 0x1p-53;

    if (large_percent)
        return draw() % 100 < large_percent ? LARGEST + (size_t)(share * (LARGE_MOST - LARGEST))
                                            : SMALLEST + (size_t)(share * (SMALL_MOST - SMALLEST));
    return (size_t)(SMALLEST * exp(share * log((double)LARGEST / SMALLEST)));
}

static void one_free(void)
{
    size_t i = draw() % blocks;

    OK(cudaFree(block[i].pointer));
    held_bytes -= block[i].bytes;
    block[i] = block[--blocks];
}

int main(int argc, char **argv)
{
    size_t live_bytes, failed = 0;
    long allocations;

    CHECK(argc == 4 || argc == 5);
    live_bytes = strtoull(argv[1], NULL, 0) << 20;
    allocations = strtol(argv[2], NULL, 0);
    large_percent = argc == 5 ? strtoul(argv[4], NULL, 0) : 0;
    state = strtoull(argv[3], NULL, 0) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (int i = 0; i < 100; i++)
        draw();
    for (long i = 0; i < allocations; i++) {
        struct block made = {.bytes = size_draw()};

        while (blocks && held_bytes + made.bytes > live_bytes)
            one_free();
        if (cudaMalloc(&made.pointer, made.bytes) != cudaSuccess) {
            cudaGetLastError();
            failed++;
            continue;
        }
        CHECK(blocks < BLOCKS);
        block[blocks++] = made;
        held_bytes += made.bytes;
    }
    printf("%zu of %ld failed\n", failed, allocations);
    return 0;
}
