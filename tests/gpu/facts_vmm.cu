/* SPDX-License-Identifier: MIT */
/*
 * Facts of virtual memory management: cost of each call by size, granularity, and cases that the
 * documentation leaves open (offsets into a handle, unmapping a part of
 * a mapping or several mappings at once, work that spans two handles).
 */
#include "tests/gpu/facts.h"

#include <string.h>

#define REPEATS 15

/** Times of one cycle from reservation to its end. */
enum vmm_step { RESERVE, CREATE, MAP, ACCESS, UNMAP, RELEASE, UNRESERVE, STEPS };
static const char *const step_names[STEPS] = {
    "reserve_ns", "create_ns", "map_ns", "access_ns", "unmap_ns", "release_ns", "unreserve_ns"};

static CUmemAllocationProp pinned_properties(void)
{
    CUmemAllocationProp properties;
    memset(&properties, 0, sizeof(properties));
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    return properties;
}

static CUmemAccessDesc full_access(void)
{
    CUmemAccessDesc access;
    memset(&access, 0, sizeof(access));
    access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return access;
}

/* `types` are those of the handles that other processes may be given. */
static bool vmm_cycle(size_t bytes, CUmemAllocationHandleType types, std::vector<uint64_t> *samples)
{
    CUmemAllocationProp properties = pinned_properties();
    CUmemAccessDesc access = full_access();
    CUmemGenericAllocationHandle handle = 0;
    CUdeviceptr range = 0;
    uint64_t at[STEPS + 1];
    properties.requestedHandleTypes = types;
    at[0] = clock_ns();
    FACT_EXPECT(cuMemAddressReserve(&range, bytes, 0, 0, 0));
    at[1] = clock_ns();
    if (cuMemCreate(&handle, bytes, &properties, 0) != CUDA_SUCCESS) {
        FACT_EXPECT(cuMemAddressFree(range, bytes));
        return false;
    }
    at[2] = clock_ns();
    FACT_EXPECT(cuMemMap(range, bytes, 0, handle, 0));
    at[3] = clock_ns();
    FACT_EXPECT(cuMemSetAccess(range, bytes, &access, 1));
    at[4] = clock_ns();
    FACT_EXPECT(cuMemUnmap(range, bytes));
    at[5] = clock_ns();
    FACT_EXPECT(cuMemRelease(handle));
    at[6] = clock_ns();
    FACT_EXPECT(cuMemAddressFree(range, bytes));
    at[7] = clock_ns();
    for (int step = 0; step < STEPS; step++)
        samples[step].push_back(at[step + 1] - at[step]);
    return true;
}

static void write_cost(size_t bytes, CUmemAllocationHandleType types)
{
    std::vector<uint64_t> samples[STEPS];
    for (int i = 0; i < REPEATS && vmm_cycle(bytes, types, samples); i++)
        continue;
    json_open(NULL, '{');
    json_number("bytes", (long long)bytes);
    json_flag("exportable", types != CU_MEM_HANDLE_TYPE_NONE);
    for (int step = 0; step < STEPS; step++)
        json_number(step_names[step], (long long)median(&samples[step]));
    json_close('}');
}

static void write_granularity(size_t *ret_page_bytes)
{
    CUmemAllocationProp properties = pinned_properties();
    size_t recommended = 0;
    FACT_EXPECT(cuMemGetAllocationGranularity(ret_page_bytes, &properties,
                                              CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    FACT_EXPECT(cuMemGetAllocationGranularity(&recommended, &properties,
                                              CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    json_number("granularity_minimum_bytes", (long long)*ret_page_bytes);
    json_number("granularity_recommended_bytes", (long long)recommended);
}

/** Maps the second half of a handle; then unmaps half of a whole mapping. */
static void write_partial(size_t page)
{
    CUmemAllocationProp properties = pinned_properties();
    CUmemGenericAllocationHandle handle = 0;
    CUdeviceptr range = 0;
    FACT_EXPECT(cuMemAddressReserve(&range, 2 * page, 0, 0, 0));
    FACT_EXPECT(cuMemCreate(&handle, 2 * page, &properties, 0));
    CUresult offset = cuMemMap(range, page, page, handle, 0);
    json_result("map_at_offset", offset);
    if (offset == CUDA_SUCCESS)
        FACT_EXPECT(cuMemUnmap(range, page));
    CUresult part = cuMemMap(range, page, 0, handle, 0);
    json_result("map_first_part_of_handle", part);
    if (part == CUDA_SUCCESS)
        FACT_EXPECT(cuMemUnmap(range, page));
    FACT_EXPECT(cuMemMap(range, 2 * page, 0, handle, 0));
    CUresult half = cuMemUnmap(range, page);
    json_result("unmap_half_of_mapping", half);
    if (half == CUDA_SUCCESS)
        FACT_EXPECT(cuMemUnmap(range + page, page));
    else
        FACT_EXPECT(cuMemUnmap(range, 2 * page));
    FACT_EXPECT(cuMemRelease(handle));
    FACT_EXPECT(cuMemAddressFree(range, 2 * page));
}

/** Two handles side by side: one memset across, one access call, one unmap of both. */
static void write_adjacent(size_t page)
{
    CUmemAllocationProp properties = pinned_properties();
    CUmemAccessDesc access = full_access();
    CUmemGenericAllocationHandle handles[2] = {0, 0};
    CUdeviceptr range = 0, base = 0;
    size_t bytes = 0;
    FACT_EXPECT(cuMemAddressReserve(&range, 2 * page, 0, 0, 0));
    for (int i = 0; i < 2; i++) {
        FACT_EXPECT(cuMemCreate(&handles[i], page, &properties, 0));
        FACT_EXPECT(cuMemMap(range + (size_t)i * page, page, 0, handles[i], 0));
    }
    json_result("map_over_mapping", cuMemMap(range, page, 0, handles[1], 0));
    json_result("access_over_two_mappings", cuMemSetAccess(range, 2 * page, &access, 1));
    json_result("memset_over_two_mappings", cuMemsetD8(range, 1, 2 * page));
    FACT_EXPECT(cuCtxSynchronize());
    json_result("range_result", cuMemGetAddressRange(&base, &bytes, range + page));
    json_number("range_offset", (long long)(range + page - base));
    json_number("range_bytes", (long long)bytes);
    json_result("cumemfree_of_mapping", cuMemFree(range));
    json_result("release_while_mapped", cuMemRelease(handles[0]));
    CUresult both = cuMemUnmap(range, 2 * page);
    json_result("unmap_two_mappings", both);
    for (int i = 0; i < 2 && both != CUDA_SUCCESS; i++)
        FACT_EXPECT(cuMemUnmap(range + (size_t)i * page, page));
    FACT_EXPECT(cuMemRelease(handles[1]));
    FACT_EXPECT(cuMemAddressFree(range, 2 * page));
}

/** One handle at two addresses, and its return to the device while work still uses it. */
static void write_alias_and_wait(size_t page)
{
    CUmemAllocationProp properties = pinned_properties();
    CUmemAccessDesc access = full_access();
    CUmemGenericAllocationHandle handle = 0;
    CUdeviceptr range = 0;
    cudaStream_t stream = NULL;
    FACT_EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    FACT_EXPECT(cuMemAddressReserve(&range, 2 * page, 0, 0, 0));
    FACT_EXPECT(cuMemCreate(&handle, page, &properties, 0));
    FACT_EXPECT(cuMemMap(range, page, 0, handle, 0));
    CUresult alias = cuMemMap(range + page, page, 0, handle, 0);
    json_result("map_same_handle_twice", alias);
    FACT_EXPECT(cuMemSetAccess(range, page, &access, 1));
    FACT_EXPECT(cudaDeviceSynchronize());
    busy_start(stream);
    FACT_EXPECT(cuMemUnmap(range, page));
    json_flag("unmap_waits_for_device", cudaStreamQuery(stream) == cudaSuccess);
    FACT_EXPECT(cudaDeviceSynchronize());
    if (alias == CUDA_SUCCESS)
        FACT_EXPECT(cuMemUnmap(range + page, page));
    FACT_EXPECT(cuMemRelease(handle));
    FACT_EXPECT(cuMemAddressFree(range, 2 * page));
    FACT_EXPECT(cudaStreamDestroy(stream));
}

void facts_vmm(void)
{
    size_t page = 0;
    json_open("vmm", '{');
    write_granularity(&page);
    write_partial(page);
    write_adjacent(page);
    write_alias_and_wait(page);
    json_open("cost", '[');
    for (size_t bytes : {page, 8 * page, 32 * page, 128 * page, 512 * page})
        for (CUmemAllocationHandleType types :
             {CU_MEM_HANDLE_TYPE_NONE, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR})
            write_cost(bytes, types);
    json_close(']');
    json_close('}');
}
