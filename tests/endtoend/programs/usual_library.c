/* SPDX-License-Identifier: MIT */
#include "usual.h"

#include <cuda_runtime_api.h>

void *gpu_alloc(size_t bytes)
{
    void *block = NULL;

    return cudaMalloc(&block, bytes) == cudaSuccess ? block : NULL;
}

void gpu_free(void *block)
{
    cudaFree(block);
}
