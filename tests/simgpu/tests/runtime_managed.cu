/* SPDX-License-Identifier: MIT */
/*
 * A managed variable of an nvcc-compiled program, used as if it were the host's. Skipped where the
 * driver cannot say where managed variables are.
 */
#include <cuda_runtime.h>
#include "tests/simgpu/tests/runtime_check.h"

__managed__ int shared_count;

/* Keeps the variable in the image. */
__global__ void use(int *out)
{
    *out = shared_count;
}

int main()
{
    void *address = NULL;
    int value = 0;

    if (cudaGetSymbolAddress(&address, shared_count) != cudaSuccess) {
        printf("skipped: no managed variables: %s\n", cudaGetErrorString(cudaGetLastError()));
        return 77;
    }
    CHECK(address == &shared_count);
    shared_count = 41;
    shared_count++;
    OK(cudaMemcpyFromSymbol(&value, shared_count, sizeof(value)));
    EQUAL(value, 42);
    return check_done();
}
