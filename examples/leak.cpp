// SPDX-License-Identifier: MIT
// A leak on an error path: a request that is cancelled never gives its scratch buffer back.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>

namespace
{

/** Returns false when the client went away. */
bool request_serve(int number)
{
    void *scratch = nullptr;

    if (cudaMalloc(&scratch, 256 << 10) != cudaSuccess)
        std::exit(1);
    cudaMemset(scratch, 0, 256 << 10);
    if (number % 8 == 7)
        return false; // the scratch buffer is forgotten here
    cudaFree(scratch);
    return true;
}

} // namespace

int main()
{
    void *weights = nullptr;
    int served = 0;

    if (cudaMalloc(&weights, 64 << 20) != cudaSuccess)
        std::exit(1);
    for (int number = 0; number < 400; number++)
        served += request_serve(number);
    std::printf("%d of 400 requests served\n", served);
    cudaFree(weights);
}
