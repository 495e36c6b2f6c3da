/* SPDX-License-Identifier: MIT */
/*
 * One sequence of frees and allocations on one allocator of device memory:
 *
 *   peers ALLOCATOR SMALLEST LARGEST LIVE PAIRS
 *
 * prints nanoseconds per pair and driver calls per 1000 pairs. SMALLEST 0: one of twelve fixed
 * sizes; otherwise log-uniform between both. LIVE blocks are allocated first; a pair frees a random
 * one and allocates another. After the same number of pairs as a warm-up, the pairs are counted and
 * timed: the lowest of five rounds, in processor time of the thread. ALLOCATOR: malloc (cudaMalloc;
 * with libcupool.so preloaded, the pool), async (cudaMallocAsync); where built with it, torch
 * (PyTorch's cache), rmm_pool (initially half of the device's memory, as in its documentation),
 * rmm_arena, rmm_binning (powers of two up to 4 MiB, over such a pool). `print` prints the sequence
 * itself, for peers_cupy.py: the sizes of the live blocks, then slot and size of each pair. No
 * memory is touched, nothing computed.
 */
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <optional>
#include <random>
#include <vector>

#include <cuda_runtime_api.h>

#ifdef WITH_TORCH
#include <c10/cuda/CUDACachingAllocator.h>
#endif

#ifdef WITH_RMM
#include <rmm/cuda_device.hpp>
#include <rmm/mr/arena_memory_resource.hpp>
#include <rmm/mr/binning_memory_resource.hpp>
#include <rmm/mr/cuda_memory_resource.hpp>
#include <rmm/mr/pool_memory_resource.hpp>
#endif

namespace
{

struct Allocator {
    void *(*take)(size_t bytes);
    void (*give)(void *block, size_t bytes);
};

void *malloc_take(size_t bytes)
{
    void *block = nullptr;
    return cudaMalloc(&block, bytes) == cudaSuccess ? block : nullptr;
}

void malloc_give(void *block, size_t)
{
    cudaFree(block);
}

void *async_take(size_t bytes)
{
    void *block = nullptr;
    return cudaMallocAsync(&block, bytes, nullptr) == cudaSuccess ? block : nullptr;
}

void async_give(void *block, size_t)
{
    cudaFreeAsync(block, nullptr);
}

#ifdef WITH_TORCH
void *torch_take(size_t bytes)
{
    return c10::cuda::CUDACachingAllocator::raw_alloc(bytes);
}

void torch_give(void *block, size_t)
{
    c10::cuda::CUDACachingAllocator::raw_delete(block);
}
#endif

#ifdef WITH_RMM
constexpr size_t ALIGNMENT = 256;
const cuda::stream_ref STREAM{cudaStream_t{}};

template <class Resource> struct Rmm {
    static inline std::optional<Resource> resource;

    static void *take(size_t bytes)
    {
        return resource->allocate(STREAM, bytes, ALIGNMENT);
    }

    static void give(void *block, size_t bytes)
    {
        resource->deallocate(STREAM, block, bytes, ALIGNMENT);
    }

    template <class... Arguments> static Allocator make(Arguments... arguments)
    {
        resource.emplace(arguments...);
        return {take, give};
    }
};

rmm::mr::pool_memory_resource half_of_device()
{
    return rmm::mr::pool_memory_resource{rmm::mr::cuda_memory_resource{},
                                         rmm::percent_of_free_device_memory(50)};
}

bool rmm_find(const char *name, Allocator *ret)
{
    if (!strcmp(name, "rmm_pool"))
        *ret = Rmm<rmm::mr::pool_memory_resource>::make(half_of_device());
    else if (!strcmp(name, "rmm_arena"))
        *ret = Rmm<rmm::mr::arena_memory_resource>::make(rmm::mr::cuda_memory_resource{});
    else if (!strcmp(name, "rmm_binning"))
        *ret = Rmm<rmm::mr::binning_memory_resource>::make(half_of_device(), int8_t{8}, int8_t{22});
    else
        return false;
    return true;
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
#ifdef WITH_RMM
    else if (rmm_find(name, ret))
        ;
#endif
    else
        return false;
    return true;
}

/* All calls that allocate, free or map memory, counted by the simulated device. */
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

struct Sequence {
    std::vector<size_t> first, bytes;
    std::vector<uint32_t> slot;

    Sequence(Sizes sizes, size_t live, size_t pairs)
    {
        for (size_t i = 0; i < live; i++)
            first.push_back(sizes.next());
        for (size_t i = 0; i < pairs; i++) {
            slot.push_back(uint32_t(sizes.random() % live));
            bytes.push_back(sizes.next());
        }
    }

    int print() const
    {
        for (size_t size : first)
            printf("%zu\n", size);
        for (size_t i = 0; i < bytes.size(); i++)
            printf("%u %zu\n", slot[i], bytes[i]);
        return 0;
    }
};

struct Block {
    void *at;
    size_t bytes;
};

} // namespace

int main(int argc, char **argv)
{
    Allocator allocator;
    const bool is_printed = argc == 6 && !strcmp(argv[1], "print");

    if (argc != 6 || (!is_printed && !allocator_find(argv[1], &allocator))) {
        fprintf(stderr, "usage: peers ALLOCATOR SMALLEST LARGEST LIVE PAIRS\n");
        return 2;
    }
    const Sequence sequence{{atof(argv[2]), atof(argv[3])},
                            strtoul(argv[4], nullptr, 10),
                            strtoul(argv[5], nullptr, 10)};
    if (is_printed)
        return sequence.print();
    std::vector<Block> live;
    const size_t pairs = sequence.bytes.size();

    for (size_t bytes : sequence.first)
        live.push_back({allocator.take(bytes), bytes});
    double lowest_ns = 1e18;
    uint64_t calls = 0;
    for (int round = 0; round < 1 + ROUNDS; round++) {
        const uint64_t calls_before = driver_calls();
        const double begin_ns = processor_ns();
        for (size_t i = 0; i < pairs; i++) {
            Block &block = live[sequence.slot[i]];
            allocator.give(block.at, block.bytes);
            block = {allocator.take(sequence.bytes[i]), sequence.bytes[i]};
            if (!block.at)
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
