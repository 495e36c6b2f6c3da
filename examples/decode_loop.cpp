// SPDX-License-Identifier: MIT
// A decode loop that allocates its temporaries for every token. Phases and steps are named through
// cupool.h: without the preload library its functions are absent and nothing happens.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>

#include "cupool.h"

namespace
{

void *temporary(size_t bytes)
{
    void *buffer = nullptr;

    if (cudaMalloc(&buffer, bytes) != cudaSuccess)
        std::exit(1);
    return buffer;
}

void token_decode()
{
    void *attention = temporary(96 << 10), *hidden = temporary(384 << 10);

    cudaMemset(attention, 0, 96 << 10);
    cudaMemset(hidden, 0, 384 << 10);
    cudaFree(hidden);
    cudaFree(attention);
}

} // namespace

int main()
{
    cupool_phase_begin("load");
    void *weights = temporary(48 << 20);
    cupool_phase_end("load");

    cupool_phase_begin("decode");
    for (int token = 0; token < 200; token++) {
        cupool_step(token);
        token_decode();
    }
    cupool_phase_end("decode");
    cudaFree(weights);
    std::puts("200 tokens");
}
