/* SPDX-License-Identifier: MIT */
/*
 * One sequence of frees and allocations on one allocator of device memory:
 *
 *   peers ALLOCATOR SMALLEST LARGEST LIVE PAIRS
 *
 * prints nanoseconds a pair and calls of the driver a 1000 pairs. SMALLEST 0: one of twelve fixed
 * sizes; else log-uniform between both. LIVE blocks are taken first; a pair frees one at random and
 * takes another. What is counted and timed are the pairs after as many that warm up: the lowest of
 * five rounds, of the thread's processor time. ALLOCATOR: malloc (cudaMalloc; with libcupool.so
 * preloaded, the pool), async (cudaMallocAsync), torch (PyTorch's cache, where built with it).
 * Nothing is touched or computed.
 */
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <random>
#include <vector>

#include <cuda_runtime_api.h>

#ifdef WITH_TORCH
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace
{

struct Allocator {
    void *(*take)(size_t bytes);
    void (*give)(void *block);
};

void *malloc_take(size_t bytes)
{
    void *block = nullptr;
    return cudaMalloc(&block, bytes) == cudaSuccess ? block : nullptr;
}

void malloc_give(void *block)
{
    cudaFree(block);
}

void *async_take(size_t bytes)
{
    void *block = nullptr;
    return cudaMallocAsync(&block, bytes, nullptr) == cudaSuccess ? block : nullptr;
}

void async_give(void *block)
{
    cudaFreeAsync(block, nullptr);
}

#ifdef WITH_TORCH
void *torch_take(size_t bytes)
{
    return c10::cuda::CUDACachingAllocator::raw_alloc(bytes);
}

void torch_give(void *block)
{
    c10::cuda::CUDACachingAllocator::raw_delete(block);
}
#endif

bool allocator_find(const char *name, Allocator *ret)
{
    if (!strcmp(name, "malloc"))
        *ret = {malloc_take, malloc_give};
    else if (!strcmp(name, "async")) {
        cudaMemPool_t pool;
        uint64_t all = UINT64_MAX;
        cudaDeviceGetDefaultMemPool(&pool, 0);
        cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all);
        *ret = {async_take, async_give};
    }
#ifdef WITH_TORCH
    else if (!strcmp(name, "torch")) {
        c10::cuda::CUDACachingAllocator::init(1);
        *ret = {torch_take, torch_give};
    }
#endif
    else
        return false;
    return true;
}

/* All calls that take, give or map memory, in the simulated device's own count. */
uint64_t driver_calls()
{
    static const char *const names[] = {"cuMemAlloc_v2",  "cuMemFree_v2",         "cuMemAllocAsync",
                                        "cuMemFreeAsync", "cuMemAllocAsync_ptsz", "cuMemCreate",
                                        "cuMemMap",       "cuMemSetAccess",       "cuMemUnmap",
                                        "cuMemRelease",   "cuMemAddressReserve",  "cuEventRecord",
                                        "cuEventQuery",   "cuCtxRecordEvent"};
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    auto count = reinterpret_cast<uint64_t (*)(const char *)>(dlsym(driver, "simgpu_calls"));
    uint64_t sum = 0;

    for (const char *name : names)
        sum += count ? count(name) : 0;
    return sum;
}

constexpr int ROUNDS = 5;

double processor_ns()
{
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e9 * double(now.tv_sec) + double(now.tv_nsec);
}

struct Sizes {
    double smallest, largest;
    std::mt19937_64 random{42};

    size_t next()
    {
        static const size_t fixed[] = {512,   2048,  4096,   8192,   16384,  32768,
                                       65536, 98304, 131072, 262144, 524288, 1048576};
        if (smallest == 0)
            return fixed[random() % 12];
        double share = double(random() >> 11) / double(1ull << 53);
        return size_t(smallest * std::exp(share * std::log(largest / smallest)));
    }
};

} // namespace

int main(int argc, char **argv)
{
    Allocator allocator;

    if (argc != 6 || !allocator_find(argv[1], &allocator)) {
        fprintf(stderr, "usage: peers ALLOCATOR SMALLEST LARGEST LIVE PAIRS\n");
        return 2;
    }
    Sizes sizes{atof(argv[2]), atof(argv[3])};
    std::vector<void *> live(strtoul(argv[4], nullptr, 10));
    const size_t pairs = strtoul(argv[5], nullptr, 10);
    std::vector<uint32_t> slot(pairs);
    std::vector<size_t> bytes(pairs);

    for (void *&block : live)
        block = allocator.take(sizes.next());
    for (size_t i = 0; i < pairs; i++) {
        slot[i] = uint32_t(sizes.random() % live.size());
        bytes[i] = sizes.next();
    }
    double lowest_ns = 1e18;
    uint64_t calls = 0;
    for (int round = 0; round < 1 + ROUNDS; round++) {
        const uint64_t calls_before = driver_calls();
        const double begin_ns = processor_ns();
        for (size_t i = 0; i < pairs; i++) {
            allocator.give(live[slot[i]]);
            live[slot[i]] = allocator.take(bytes[i]);
            if (!live[slot[i]])
                return 1;
        }
        const double spent_ns = processor_ns() - begin_ns;
        if (round && spent_ns < lowest_ns)
            lowest_ns = spent_ns;
        calls += round ? driver_calls() - calls_before : 0;
    }
    printf("%.0f %.1f\n", lowest_ns / double(pairs),
           1000.0 * double(calls) / double(pairs) / ROUNDS);
    fflush(stdout);
    _Exit(0); /* endings are not measured */
}
