/* SPDX-License-Identifier: MIT */
/*
 * Kernels of the kernels test: host twins here; their CUDA form is never built.
 */
#include "tests/simgpu/host_kernel.h"

struct packed {
    int first;
    double second;
};

__global__ void add_index(int *data, int n, int bias)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        data[i] += i + bias;
}
HOST_TWIN(add_index);

/* Two barriers, shared memory, a warp reduction and an atomic. */
__global__ void sum(const int *data, int n, int *total)
{
    __shared__ int part[32];
    DYNAMIC_SHARED(int, staged);
    int mine = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        mine += data[i];
    staged[threadIdx.x] = mine;
    __syncthreads();
    mine = staged[blockDim.x - 1 - threadIdx.x];
    for (int step = 16; step; step /= 2)
        mine += __shfl_xor_sync(0xffffffffu, mine, step);
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = mine;
    __syncthreads();
    if (threadIdx.x == 0) {
        int all = 0;
        for (unsigned i = 0; i < blockDim.x / 32; i++)
            all += part[i];
        atomicAdd(total, all);
    }
}
HOST_TWIN(sum);

template <typename T> __global__ void store(T *into, T value, packed more)
{
    *into = value + T(more.first) + T(more.second);
}
HOST_TWIN((store<double>));

__global__ void fault(int *nowhere)
{
    *nowhere = 1;
}
HOST_TWIN(fault);
