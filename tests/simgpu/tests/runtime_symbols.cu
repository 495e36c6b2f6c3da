/* SPDX-License-Identifier: MIT */
/*
 * Variables of an nvcc-compiled program: address, size and copies by symbol, and their bounds.
 */
#include <cuda_runtime.h>
#include "tests/simgpu/tests/runtime_check.h"

__device__ int table[16];
__constant__ float factor;

/* Keeps the variables in the image. */
__global__ void use(int *out)
{
    out[threadIdx.x] = table[threadIdx.x] * (int)factor;
}

static void test_copies()
{
    int in[16], out[16] = {0};
    void *address = NULL;
    size_t bytes = 0;

    for (int i = 0; i < 16; i++)
        in[i] = 100 + i;
    OK(cudaGetSymbolAddress(&address, table));
    OK(cudaGetSymbolSize(&bytes, table));
    EQUAL(bytes, sizeof(table));
    OK(cudaMemcpyToSymbol(table, in, sizeof(in)));
    OK(cudaMemcpy(out, address, sizeof(out), cudaMemcpyDeviceToHost));
    CHECK(!memcmp(in, out, sizeof(in)));
    memset(out, 0, sizeof(out));
    OK(cudaMemcpyFromSymbol(out, table, 8, 4 * sizeof(int)));
    EQUAL(out[0], 104);
    EQUAL(out[1], 105);
    EQUAL(out[2], 0);
}

static void test_refused()
{
    int value = 0;

    EXPECT(cudaErrorInvalidValue, cudaMemcpyToSymbol(table, &value, 4, sizeof(table)));
    EXPECT(cudaErrorInvalidSymbol, cudaMemcpyToSymbol((const void *)&value, &value, 4));
    EXPECT(cudaErrorInvalidMemcpyDirection,
           cudaMemcpyToSymbol(table, &value, 4, 0, cudaMemcpyDeviceToHost));
    cudaGetLastError();
}

int main()
{
    OK(cudaFree(0));
    test_copies();
    test_refused();
    return check_done();
}
