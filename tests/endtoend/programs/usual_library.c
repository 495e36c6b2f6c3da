/* SPDX-License-Identifier: MIT */
#include "usual.h"

#include <cuda_runtime_api.h>

static void *take(size_t bytes)
{
    void *block = NULL;

    return cudaMalloc(&block, bytes) == cudaSuccess ? block : NULL;
}

void *gpu_alloc(size_t bytes)
{
    void *block = take((bytes + 255) & ~(size_t)255);

    return block ? block : NULL;
}

void gpu_free(void *block)
{
    cudaFree(block);
}
