// SPDX-License-Identifier: MIT
//
// A service that answers requests with two planted faults, for reports to find:
//   leaky [--leak] [--grow]
// --leak: a block of each request is kept for ever; --grow: the weights take 5 % more.
// The lines that allocate are marked, so that a test finds them by what they are.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace service
{

constexpr std::size_t kWeights = 20 << 20, kScratch = 1 << 20, kRequests = 32;

inline void check(cudaError_t error)
{
    if (error != cudaSuccess) {
        std::fprintf(stderr, "leaky: %s\n", cudaGetErrorString(error));
        std::exit(1);
    }
}

template <typename Value> class Cache
{
  public:
    __attribute__((noinline)) void keep(std::size_t bytes)
    {
        void *block = nullptr;
        check(cudaMalloc(&block, bytes)); // planted: leak
        kept_.push_back(static_cast<Value *>(block));
    }

  private:
    std::vector<Value *> kept_;
};

__attribute__((noinline)) void *load(bool grow)
{
    void *weights = nullptr;
    std::size_t bytes = grow ? kWeights + kWeights / 20 : kWeights;
    check(cudaMalloc(&weights, bytes)); // planted: growth
    return weights;
}

__attribute__((noinline)) void answer(Cache<float> &cache, bool leak)
{
    void *scratch = nullptr;
    check(cudaMalloc(&scratch, kScratch));
    if (leak)
        cache.keep(4096);
    check(cudaFree(scratch));
}

} // namespace service

int main(int argc, char **argv)
{
    bool leak = false, grow = false;
    service::Cache<float> cache;

    for (int i = 1; i < argc; i++) {
        leak |= !std::strcmp(argv[i], "--leak");
        grow |= !std::strcmp(argv[i], "--grow");
    }
    void *weights = service::load(grow);
    for (std::size_t i = 0; i < service::kRequests; i++)
        service::answer(cache, leak);
    service::check(cudaFree(weights));
    std::puts("answered");
    return 0;
}
