/* SPDX-License-Identifier: MIT */
/*
 * Facts of unusual frees: of NULL, double, of interior and foreign pointers, across the kinds of
 * memory; and of allocations of zero or too many bytes.
 *
 * Each is tried on separate memory; memory still allocated afterwards is freed correctly.
 */
#include "tests/gpu/facts.h"

#include <stdlib.h>

#define BYTES ((size_t)3 << 20)

static char *device_block(size_t bytes)
{
    void *block = NULL;
    FACT_EXPECT(cudaMalloc(&block, bytes));
    return (char *)block;
}

/** The error a call left behind for cudaGetLastError, which is cleared. */
static void write_last_error(const char *name)
{
    json_error(name, cudaGetLastError());
}

static void write_nothing(void)
{
    void *block = (void *)1;
    CUdeviceptr address = 1;
    json_error("cudaMalloc_0", cudaMalloc(&block, 0));
    json_flag("cudaMalloc_0_gives_null", !block);
    json_result("cuMemAlloc_0", cuMemAlloc(&address, 0));
    json_flag("cuMemAlloc_0_writes", address != 1);
    json_error("cudaFree_null", cudaFree(NULL));
    json_result("cuMemFree_null", cuMemFree(0));
    json_error("cudaMalloc_to_null", cudaMalloc((void **)NULL, 16));
    json_result("cuMemAlloc_to_null", cuMemAlloc(NULL, 16));
    write_last_error("last_error_after_these");
    json_error("cudaMalloc_too_much", cudaMalloc(&block, (size_t)1 << 50));
    json_error("cudaMalloc_overflow", cudaMalloc(&block, ~(size_t)0));
    json_result("cuMemAlloc_too_much", cuMemAlloc(&address, (size_t)1 << 50));
    json_result("cuMemAlloc_overflow", cuMemAlloc(&address, ~(size_t)0));
    write_last_error("last_error_after_too_much");
    write_last_error("last_error_after_that");
}

static void write_wrong_pointers(void)
{
    char *block = device_block(BYTES), *small = device_block(512);
    char *foreign = (char *)malloc(4096);
    json_error("cudaFree_interior", cudaFree(block + 4096));
    json_result("cuMemFree_interior", cuMemFree((CUdeviceptr)block + 4096));
    json_error("cudaFree_interior_of_small", cudaFree(small + 256));
    json_error("cudaFree_end", cudaFree(block + BYTES));
    json_error("cudaFree_of_malloc", cudaFree(foreign));
    json_result("cuMemFree_of_malloc", cuMemFree((CUdeviceptr)foreign));
    json_error("cudaFreeHost_of_device", cudaFreeHost(block));
    FACT_EXPECT(cudaFree(block));
    FACT_EXPECT(cudaFree(small));
    json_error("cudaFree_twice", cudaFree(block));
    json_result("cuMemFree_twice", cuMemFree((CUdeviceptr)block));
    json_error("cudaFree_twice_small", cudaFree(small));
    write_last_error("last_error_after_wrong_pointers");
    free(foreign);
}

/** Ordinary, stream-ordered, managed and pinned memory freed by the others' functions. */
static void write_wrong_kind(void)
{
    void *async = NULL, *managed = NULL, *pinned = NULL;
    char *block = device_block(BYTES);
    cudaError_t error = cudaFreeAsync(block, cudaStreamPerThread);
    json_error("cudaFreeAsync_of_ordinary", error);
    FACT_EXPECT(cudaDeviceSynchronize());
    if (error != cudaSuccess)
        FACT_EXPECT(cudaFree(block));

    FACT_EXPECT(cudaMallocAsync(&async, BYTES, cudaStreamPerThread));
    json_error("cudaFree_of_stream_ordered", cudaFree(async));
    FACT_EXPECT(cudaMallocAsync(&async, BYTES, cudaStreamPerThread));
    json_result("cuMemFree_of_stream_ordered", cuMemFree((CUdeviceptr)async));

    FACT_EXPECT(cudaMallocManaged(&managed, BYTES));
    json_error("cudaFree_of_managed", cudaFree(managed));
    FACT_EXPECT(cudaMallocHost(&pinned, BYTES));
    error = cudaFree(pinned);
    json_error("cudaFree_of_pinned", error);
    if (error != cudaSuccess)
        FACT_EXPECT(cudaFreeHost(pinned));
    write_last_error("last_error_after_wrong_kind");
}

/** Whether the free of stream-ordered memory waits for work of another stream. */
static void write_waiting(void)
{
    void *async = NULL;
    cudaStream_t stream = NULL;
    FACT_EXPECT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    FACT_EXPECT(cudaMallocAsync(&async, BYTES, stream));
    FACT_EXPECT(cudaDeviceSynchronize());
    busy_start(stream);
    FACT_EXPECT(cudaFree(async));
    json_flag("cudaFree_of_stream_ordered_waits", cudaStreamQuery(stream) == cudaSuccess);
    FACT_EXPECT(cudaDeviceSynchronize());
    char *block = device_block(BYTES);
    busy_start(stream);
    FACT_EXPECT(cudaFree(block));
    json_flag("cudaFree_waits", cudaStreamQuery(stream) == cudaSuccess);
    FACT_EXPECT(cudaDeviceSynchronize());
    busy_start(stream);
    FACT_EXPECT(cudaFree(NULL));
    json_flag("cudaFree_null_waits", cudaStreamQuery(stream) == cudaSuccess);
    FACT_EXPECT(cudaDeviceSynchronize());
    FACT_EXPECT(cudaStreamDestroy(stream));
}

void facts_invalid(void)
{
    json_open("invalid", '{');
    write_nothing();
    write_wrong_pointers();
    write_wrong_kind();
    write_waiting();
    json_close('}');
}
