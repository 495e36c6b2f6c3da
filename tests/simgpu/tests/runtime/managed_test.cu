/* SPDX-License-Identifier: MIT */
/*
 * Managed variables of an nvcc-compiled program, used as if they were the host's.
 */
#include <cuda_runtime.h>
#include "tests/simgpu/tests/runtime/support.h"

__managed__ int shared_count;
__managed__ double table[1000];

/* Keeps the variables in the image. */
__global__ void use(int *out)
{
    *out = shared_count + (int)table[threadIdx.x];
}

static void test_one_value()
{
    void *address = NULL;
    size_t bytes = 0;
    int value = 0;

    shared_count = 41;
    shared_count++;
    OK(cudaGetSymbolAddress(&address, shared_count));
    CHECK(address == &shared_count);
    OK(cudaGetSymbolSize(&bytes, shared_count));
    EQUAL(bytes, sizeof(shared_count));
    OK(cudaMemcpyFromSymbol(&value, shared_count, sizeof(value)));
    EQUAL(value, 42);
    value = 7;
    OK(cudaMemcpyToSymbol(shared_count, &value, sizeof(value)));
    EQUAL(shared_count, 7);
}

static void test_table()
{
    double two[2] = {2.5, 3.5}, back[2] = {0, 0};
    cudaStream_t stream;

    EQUAL(table[999], 0);
    table[500] = 1.25;
    OK(cudaStreamCreate(&stream));
    OK(cudaMemcpyToSymbolAsync(table, two, sizeof(two), 998 * sizeof(double),
                               cudaMemcpyHostToDevice, stream));
    OK(cudaMemcpyFromSymbolAsync(back, table, sizeof(back), 499 * sizeof(double),
                                 cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
    CHECK(table[998] == 2.5 && table[999] == 3.5);
    CHECK(back[0] == 0 && back[1] == 1.25);
    EXPECT(cudaErrorInvalidValue,
           cudaMemcpyToSymbol(table, two, sizeof(two), 999 * sizeof(double)));
    cudaGetLastError();
    OK(cudaStreamDestroy(stream));
}

/* It is managed memory, and its module's. */
static void test_attributes()
{
    struct cudaPointerAttributes attributes;

    OK(cudaPointerGetAttributes(&attributes, table));
    EQUAL(attributes.type, cudaMemoryTypeManaged);
    CHECK(attributes.hostPointer == table && attributes.devicePointer == table);
    EXPECT(cudaErrorInvalidValue, cudaFree(table));
    cudaGetLastError();
    OK(cudaMemset(table, 0, sizeof(table)));
    EQUAL(table[999], 0);
}

int main()
{
    test_one_value();
    test_table();
    test_attributes();
    return check_done();
}
