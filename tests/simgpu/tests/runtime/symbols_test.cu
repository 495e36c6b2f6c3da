/* SPDX-License-Identifier: MIT */
/*
 * Variables of an nvcc-compiled program: address, size and copies by symbol, and their bounds.
 */
#include <cuda_runtime.h>
#include "tests/simgpu/tests/runtime/support.h"

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

static void test_streams()
{
    int in[8], out[8] = {0};
    float seven = 7, back = 0;
    int *device = NULL;
    cudaStream_t stream;

    for (int i = 0; i < 8; i++)
        in[i] = 200 + i;
    OK(cudaStreamCreate(&stream));
    OK(cudaMalloc(&device, sizeof(in)));
    OK(cudaMemcpyToSymbolAsync(table, in, sizeof(in), 8 * sizeof(int), cudaMemcpyHostToDevice,
                               stream));
    OK(cudaMemcpyFromSymbolAsync(device, table, sizeof(in), 8 * sizeof(int),
                                 cudaMemcpyDeviceToDevice, stream));
    OK(cudaMemcpyToSymbolAsync(factor, &seven, sizeof(seven), 0, cudaMemcpyHostToDevice, stream));
    OK(cudaMemcpyAsync(out, device, sizeof(out), cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
    CHECK(!memcmp(in, out, sizeof(in)));
    OK(cudaMemcpyFromSymbol(&back, factor, sizeof(back)));
    CHECK(back == seven);
    OK(cudaMemcpyToSymbol(table, device, sizeof(int), 0, cudaMemcpyDeviceToDevice));
    OK(cudaMemcpyFromSymbol(out, table, sizeof(int)));
    EQUAL(out[0], 200);
    OK(cudaFree(device));
    OK(cudaStreamDestroy(stream));
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
    test_streams();
    test_refused();
    return check_done();
}
