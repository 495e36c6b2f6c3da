/* SPDX-License-Identifier: MIT */
/*
 * Facts of cudaMalloc and cuMemAlloc: alignment, rounding, ranges, sharing of segments, cost.
 *
 * Addresses are only ever written as differences and alignments, so that two runs can be compared.
 * Costs are medians; "busy" has a kernel of about a millisecond in flight on a non-blocking stream
 * before each call, and says whether that kernel had ended when the call returned.
 */
#include "tests/gpu/facts.h"

#include <stdlib.h>

#include <algorithm>

/** Both ways to allocate ordinary device memory. */
static const struct memory_api {
    const char *name;
    int (*allocate)(void **ret_block, size_t bytes);
    int (*release)(void *block);
} memory_apis[] = {
    {"cudaMalloc", [](void **ret_block, size_t bytes) { return (int)cudaMalloc(ret_block, bytes); },
     [](void *block) { return (int)cudaFree(block); }},
    {"cuMemAlloc",
     [](void **ret_block, size_t bytes) {
         return (int)cuMemAlloc((CUdeviceptr *)ret_block, bytes);
     },
     [](void *block) { return (int)cuMemFree((CUdeviceptr)block); }},
};

static const size_t sizes[] = {1,        256,      512,           513,     4096,          65536,
                               65537,    1 << 20,  (1 << 20) + 1, 2 << 20, (2 << 20) + 1, 3 << 20,
                               16 << 20, 64 << 20, 256 << 20,     1 << 30};

static size_t device_free_bytes(void)
{
    size_t free_bytes = 0, total_bytes = 0;
    FACT_EXPECT(cuMemGetInfo(&free_bytes, &total_bytes));
    return free_bytes;
}

static void write_range(void *block)
{
    CUdeviceptr address = (CUdeviceptr)block, base = 0, start = 0;
    size_t bytes = 0, attribute_bytes = 0;
    unsigned long long buffer = 0;
    CUresult result = cuMemGetAddressRange(&base, &bytes, address);
    json_result("range_result", result);
    json_number("range_bytes", (long long)bytes);
    json_number("offset_in_range", (long long)(address - base));
    json_result("start_attribute_result",
                cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, address));
    json_number("start_attribute_offset", (long long)(address - start));
    json_result("size_attribute_result",
                cuPointerGetAttribute(&attribute_bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE, address));
    json_number("size_attribute_bytes", (long long)attribute_bytes);
    json_result("buffer_id_result",
                cuPointerGetAttribute(&buffer, CU_POINTER_ATTRIBUTE_BUFFER_ID, address));
}

/** Several blocks of one size: common alignment of their addresses, memory lost by the device. */
static void write_size(const struct memory_api *api, size_t bytes)
{
    std::vector<uint64_t> addresses;
    size_t wanted = bytes >= 256 << 20 ? 2 : 8, before = device_free_bytes();
    uint64_t bits = 0, gap = UINT64_MAX;
    while (addresses.size() < wanted) {
        void *block = NULL;
        if (api->allocate(&block, bytes) != 0)
            break;
        addresses.push_back((uint64_t)(uintptr_t)block);
        bits |= addresses.back();
    }
    json_open(NULL, '{');
    json_text("api", api->name);
    json_number("bytes", (long long)bytes);
    json_number("blocks", (long long)addresses.size());
    if (!addresses.empty()) {
        json_number("alignment", (long long)(bits & -bits));
        json_number("free_delta_bytes", (long long)(before - device_free_bytes()));
        write_range((void *)(uintptr_t)addresses[0]);
        for (uint64_t address : addresses)
            FACT_EXPECT(api->release((void *)(uintptr_t)address));
        std::sort(addresses.begin(), addresses.end());
        for (size_t i = 1; i < addresses.size(); i++)
            gap = std::min(gap, addresses[i] - addresses[i - 1]);
        json_number("smallest_gap_bytes", gap == UINT64_MAX ? -1 : (long long)gap);
        json_number("free_delta_after_bytes", (long long)(before - device_free_bytes()));
    }
    json_close('}');
}

/** Small blocks until free memory has dropped three times: how many fit between two drops. */
static void write_sharing(const struct memory_api *api, size_t bytes)
{
    std::vector<void *> blocks;
    std::vector<uint64_t> drops; /* number of blocks at each drop */
    size_t last = device_free_bytes(), drop_bytes = 0;
    while (drops.size() < 3 && blocks.size() < 20000) {
        void *block = NULL;
        if (api->allocate(&block, bytes) != 0)
            break;
        blocks.push_back(block);
        size_t now = device_free_bytes();
        if (now != last) {
            drops.push_back(blocks.size());
            drop_bytes = last - now;
        }
        last = now;
    }
    for (void *block : blocks)
        FACT_EXPECT(api->release(block));
    json_open(NULL, '{');
    json_text("api", api->name);
    json_number("bytes", (long long)bytes);
    json_number("segment_bytes", (long long)drop_bytes);
    json_number("blocks_per_segment", drops.size() == 3 ? (long long)(drops[2] - drops[1]) : -1);
    json_close('}');
}

void facts_allocation(void)
{
    json_open("allocation", '[');
    for (const struct memory_api &api : memory_apis)
        for (size_t bytes : sizes)
            write_size(&api, bytes);
    json_close(']');
    json_open("sharing", '[');
    for (const struct memory_api &api : memory_apis)
        for (size_t bytes : {(size_t)512, (size_t)4096, (size_t)65536, (size_t)262144,
                             (size_t)1 << 20, ((size_t)1 << 20) + 1})
            write_sharing(&api, bytes);
    json_close(']');
}

/** Median times of an allocation and its free; `stream` NULL: the device is idle. */
static void write_cost(const struct memory_api *api, size_t bytes, cudaStream_t stream)
{
    std::vector<uint64_t> allocations, frees;
    int repeats = bytes >= 256 << 20 ? 7 : 31, allocations_waited = 0, frees_waited = 0;
    for (int i = 0; i < repeats; i++) {
        void *block = NULL;
        FACT_EXPECT(cudaDeviceSynchronize());
        if (stream)
            busy_start(stream);
        uint64_t start = clock_ns();
        if (api->allocate(&block, bytes) != 0)
            break;
        allocations.push_back(clock_ns() - start);
        if (stream) {
            allocations_waited += cudaStreamQuery(stream) == cudaSuccess;
            FACT_EXPECT(cudaDeviceSynchronize());
            busy_start(stream);
        }
        start = clock_ns();
        FACT_EXPECT(api->release(block));
        frees.push_back(clock_ns() - start);
        frees_waited += stream && cudaStreamQuery(stream) == cudaSuccess;
    }
    json_open(NULL, '{');
    json_text("api", api->name);
    json_number("bytes", (long long)bytes);
    json_text("device", !stream ? "idle" : "busy");
    json_number("repeats", (long long)frees.size());
    json_number("allocate_ns", (long long)median(&allocations));
    json_number("free_ns", (long long)median(&frees));
    if (stream) {
        json_number("allocations_that_waited", allocations_waited);
        json_number("frees_that_waited", frees_waited);
    }
    json_close('}');
}

void facts_cost(void)
{
    cudaStream_t stream = NULL;
    FACT_EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    json_open("cost", '[');
    for (const struct memory_api &api : memory_apis) {
        for (size_t bytes : {(size_t)512, (size_t)65536, (size_t)1 << 20, (size_t)2 << 20,
                             (size_t)16 << 20, (size_t)256 << 20, (size_t)1 << 30}) {
            write_cost(&api, bytes, NULL);
            write_cost(&api, bytes, stream);
        }
    }
    json_close(']');
    FACT_EXPECT(cudaStreamDestroy(stream));
}
