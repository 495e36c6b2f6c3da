// SPDX-License-Identifier: MIT
//
// A service that answers requests with planted faults, for reports to find:
//   leaky [--leak] [--grow] [--pages] [--fragment]
// --leak: a block of each request is kept for ever; --grow: the weights take 5 % more.
// --pages: half of many pages make room for larger ones; --fragment: the same, but it is every
// second page that goes, so that the larger ones fit nowhere.
// The lines that allocate are marked, so that a test finds them by what they are.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace service
{

constexpr std::size_t kWeights = 20 << 20, kScratch = 1 << 20, kRequests = 32;
constexpr std::size_t kPages = 64, kPage = 512 << 10, kMerged = 24;

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

__attribute__((noinline)) void *page(std::size_t bytes)
{
    void *block = nullptr;
    check(cudaMalloc(&block, bytes)); // planted: fragmentation
    return block;
}

__attribute__((noinline)) void *merge(std::size_t bytes)
{
    void *block = nullptr;
    check(cudaMalloc(&block, bytes));
    return block;
}

/** As much is live at each moment and as much is asked for, whichever pages go. */
__attribute__((noinline)) void repage(bool fragment)
{
    std::vector<void *> pages, merged;

    for (std::size_t i = 0; i < kPages; i++)
        pages.push_back(page(kPage));
    for (std::size_t i = 0; i < kPages; i++)
        if (fragment ? i % 2 : i < kPages / 2) {
            check(cudaFree(pages[i]));
            pages[i] = nullptr;
        }
    check(cudaDeviceSynchronize());
    for (std::size_t i = 0; i < kMerged; i++)
        merged.push_back(merge(2 * kPage));
    pages.insert(pages.end(), merged.begin(), merged.end());
    for (void *block : pages)
        check(cudaFree(block));
}

} // namespace service

int main(int argc, char **argv)
{
    bool leak = false, grow = false, pages = false, fragment = false;
    service::Cache<float> cache;

    for (int i = 1; i < argc; i++) {
        leak |= !std::strcmp(argv[i], "--leak");
        grow |= !std::strcmp(argv[i], "--grow");
        pages |= !std::strcmp(argv[i], "--pages");
        fragment |= !std::strcmp(argv[i], "--fragment");
    }
    void *weights = service::load(grow);
    for (std::size_t i = 0; i < service::kRequests; i++)
        service::answer(cache, leak);
    if (pages || fragment)
        service::repage(fragment);
    service::check(cudaFree(weights));
    std::puts("answered");
    return 0;
}
