// SPDX-License-Identifier: MIT
// A batch that does not fit: requests are admitted until the device refuses.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <vector>

namespace
{

void *weights_load()
{
    void *weights = nullptr;

    cudaMalloc(&weights, 700 << 20);
    return weights;
}

void *request_admit()
{
    void *cache = nullptr;

    return cudaMalloc(&cache, 48 << 20) == cudaSuccess ? cache : nullptr;
}

} // namespace

int main()
{
    void *weights = weights_load();
    std::vector<void *> admitted;

    while (admitted.size() < 16) {
        void *cache = request_admit();
        if (!cache)
            break;
        admitted.push_back(cache);
    }
    std::printf("%zu requests of 16 admitted: %s\n", admitted.size(),
                cudaGetErrorString(cudaGetLastError()));
    for (void *cache : admitted)
        cudaFree(cache);
    cudaFree(weights);
}
