/* SPDX-License-Identifier: MIT */
/*
 * Uses of device memory by the C clients, whichever way they found the runtime: several blocks of
 * different sizes are live at a time; each is set, partly overwritten from the host, and verified
 * before its free. Prints sizes and results. One thread.
 */
#ifndef TESTS_CLIENTS_EXERCISE_H
#define TESTS_CLIENTS_EXERCISE_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXERCISE_BLOCKS 24

struct exercise_runtime {
    cudaError_t (*malloc)(void **address, size_t bytes);
    cudaError_t (*free)(void *address);
    cudaError_t (*memset)(void *address, int value, size_t bytes);
    cudaError_t (*memcpy)(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind);
    cudaError_t (*device_synchronize)(void);
};

struct exercise_block {
    unsigned char *address;
    size_t bytes;
    int value;
};

static inline void exercise_expect(cudaError_t result, const char *what)
{
    if (result != cudaSuccess) {
        printf("%s: error %d\n", what, (int)result);
        exit(1);
    }
}

static inline struct exercise_block exercise_make(const struct exercise_runtime *runtime,
                                                  size_t bytes, int value)
{
    struct exercise_block block = {.bytes = bytes, .value = value};
    exercise_expect(runtime->malloc((void **)&block.address, bytes), "malloc");
    exercise_expect(runtime->memset(block.address, value, bytes), "memset");
    unsigned char last = (unsigned char)(value + 1);
    exercise_expect(runtime->memcpy(block.address + bytes - 1, &last, 1, cudaMemcpyHostToDevice),
                    "memcpy");
    return block;
}

static inline size_t exercise_wrong_bytes(const struct exercise_runtime *runtime,
                                          struct exercise_block block)
{
    unsigned char *host = malloc(block.bytes);
    if (!host)
        exit(1);
    exercise_expect(runtime->memcpy(host, block.address, block.bytes, cudaMemcpyDeviceToHost),
                    "memcpy back");
    size_t wrong = host[block.bytes - 1] != (unsigned char)(block.value + 1);
    for (size_t i = 0; i + 1 < block.bytes; i++)
        wrong += host[i] != (unsigned char)block.value;
    free(host);
    return wrong;
}

/* Fills the blocks twice over, so that the second round meets memory of the first. */
static inline void exercise(const struct exercise_runtime *runtime, const char *name)
{
    struct exercise_block blocks[EXERCISE_BLOCKS] = {0};
    size_t wrong = 0, total_bytes = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < EXERCISE_BLOCKS; i++) {
            size_t bytes = (size_t)(i * i * i + 1) * (round ? 211 : 97);
            blocks[i] = exercise_make(runtime, bytes, i + round);
            total_bytes += bytes;
        }
        for (int i = 0; i < EXERCISE_BLOCKS; i++) {
            wrong += exercise_wrong_bytes(runtime, blocks[i]);
            exercise_expect(runtime->free(blocks[i].address), "free");
        }
    }
    exercise_expect(runtime->free(NULL), "free of NULL");
    exercise_expect(runtime->device_synchronize(), "synchronize");
    printf("%s: %zu bytes in all, %zu wrong\n", name, total_bytes, wrong);
    if (wrong)
        exit(1);
}

#endif
