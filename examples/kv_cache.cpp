// SPDX-License-Identifier: MIT
// A key-value cache that grows by copying: at each growth the old and the new copy exist at once, so
// the peak is far above what the cache ever holds.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>

namespace
{

constexpr size_t token_bytes = 32 << 10; // all layers, keys and values

struct Cache {
    char *data = nullptr;
    size_t tokens = 0, capacity = 0;
};

void cache_grow(Cache &cache)
{
    size_t capacity = cache.capacity ? cache.capacity * 2 : 64;
    void *data = nullptr;

    if (cudaMalloc(&data, capacity * token_bytes) != cudaSuccess)
        std::exit(1);
    if (cache.data)
        cudaMemcpy(data, cache.data, cache.tokens * token_bytes, cudaMemcpyDeviceToDevice);
    cudaFree(cache.data);
    cache.data = static_cast<char *>(data);
    cache.capacity = capacity;
}

void token_append(Cache &cache)
{
    if (cache.tokens == cache.capacity)
        cache_grow(cache);
    cudaMemset(cache.data + cache.tokens++ * token_bytes, 0, token_bytes);
}

} // namespace

int main()
{
    Cache cache;

    for (int token = 0; token < 3000; token++)
        token_append(cache);
    std::printf("%zu tokens, %zu MiB of keys and values\n", cache.tokens,
                cache.tokens * token_bytes >> 20);
    cudaFree(cache.data);
}
