/* SPDX-License-Identifier: MIT */
/* The cubin of the test `variables`. */
extern "C" {
__device__ int plain[4];
__device__ int begun[3] = {5, 6, 7};
__constant__ float factor = 1.5f;
__managed__ int shared_count;
__managed__ int shared_begun = 9;
__global__ void use(int *out)
{
    *out = plain[0] + begun[1] + (int)factor + shared_count + shared_begun;
}
}
