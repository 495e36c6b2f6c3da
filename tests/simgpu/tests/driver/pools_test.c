/* SPDX-License-Identifier: MIT */
/*
 * Stream-ordered memory: pools, their accounting, mixed frees.
 */
#include "tests/simgpu/tests/driver/support.h"

static cuuint64_t attribute(CUmemoryPool pool, CUmemPool_attribute which)
{
    cuuint64_t value;

    OK(cuMemPoolGetAttribute(pool, which, &value));
    return value;
}

static cuuint64_t used(CUmemoryPool pool)
{
    return attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
}

static cuuint64_t reserved(CUmemoryPool pool)
{
    return attribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
}

int main(void)
{
    start();
    CUstream stream;
    CUdeviceptr a, b, plain;
    CUmemoryPool pool, got;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuDeviceGetMemPool(&got, 0));
    CHECK(got == pool);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(pool));

    OK(cuMemPoolCreate(&pool, &props));
    CHECK(attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) == 0);
    cuuint64_t keep = UINT64_MAX;
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
    OK(cuDeviceSetMemPool(0, pool));
    OK(cuMemAllocAsync(&a, 10 * MIB, stream));
    OK(cuMemAllocFromPoolAsync(&b, 1000, pool, stream));
    OK(cuMemsetD8Async(a, 1, 10 * MIB, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(used(pool) >= 10 * MIB + 1000 && reserved(pool) >= used(pool));
    OK(cuPointerGetAttribute(&got, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, a));
    CHECK(got == pool);

    /* A free is work of its stream. */
    if (simulated()) {
        hold(stream);
        OK(cuMemFreeAsync(b, stream));
        CHECK(used(pool) >= 10 * MIB + 1000);
        release(stream);
    } else
        OK(cuMemFreeAsync(b, stream));
    OK(cuMemFreeAsync(a, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(used(pool) == 0);
    CHECK(reserved(pool) >= 10 * MIB); /* kept below the threshold */
    size_t before = free_bytes();
    OK(cuMemAllocAsync(&a, 10 * MIB, stream));
    CHECK(free_bytes() == before); /* from what was kept */
    OK(cuMemFreeAsync(a, stream));
    OK(cuStreamSynchronize(stream));
    OK(cuMemPoolTrimTo(pool, 0));
    CHECK(reserved(pool) == 0 && free_bytes() >= before + 10 * MIB);
    CHECK(attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH) >= 10 * MIB);
    cuuint64_t zero = 0;
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &zero));
    CHECK(attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH) == 0);

    /* With threshold zero a synchronisation gives it all back. */
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &zero));
    OK(cuMemAllocAsync(&a, 10 * MIB, stream));
    OK(cuMemFreeAsync(a, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(reserved(pool) == 0);

    /* cuMemFree takes stream-ordered memory; double frees and the reverse fail. */
    OK(cuMemAllocAsync(&a, 10 * MIB, stream));
    OK(cuMemFree(a));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(a));
    OK(cuMemAllocAsync(&a, 1000, stream));
    OK(cuMemFreeAsync(a, stream));
    OK(cuStreamSynchronize(stream));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(a, stream));
    OK(cuMemAlloc(&plain, 1000));
    if (simulated()) /* cuda.h does not say */
        EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(plain, stream));
    OK(cuMemFree(plain));

    /* A pool that is destroyed lives as long as its memory. */
    OK(cuMemAllocFromPoolAsync(&a, 5 * MIB, pool, stream));
    OK(cuMemPoolDestroy(pool));
    OK(cuMemsetD8Async(a, 1, 5 * MIB, stream));
    OK(cuMemFreeAsync(a, stream));
    OK(cuStreamSynchronize(stream));
    OK(cuDeviceGetMemPool(&got, 0));
    CUmemoryPool standard;
    OK(cuDeviceGetDefaultMemPool(&standard, 0));
    CHECK(got == standard);
    return 0;
}
