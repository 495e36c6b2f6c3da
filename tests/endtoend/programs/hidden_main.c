/* SPDX-License-Identifier: MIT */
/*
 * Takes memory of every kind in the open, and some through hidden.c, freed and taken again at the
 * same address by turns.
 *
 * usage: hidden BYTES...   hidden allocations; "0" frees the last one
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/check.h"
#include "tests/endtoend/programs/hidden.h"

static void in_the_open(void)
{
    void *device, *managed, *pinned, *ordered;
    struct cudaChannelFormatDesc format = {.x = 32, .f = cudaChannelFormatKindFloat};
    struct cudaExtent extent = {64, 64, 0};
    cudaMipmappedArray_t mipmap;
    cudaArray_t array;
    for (int i = 0; i < 20; i++) {
        OK(cudaMalloc(&device, 4 << 20));
        OK(cudaMallocManaged(&managed, 1 << 20, cudaMemAttachGlobal));
        OK(cudaMallocHost(&pinned, 1 << 20));
        OK(cudaMallocAsync(&ordered, 3 << 20, NULL));
        OK(cudaMallocArray(&array, &format, 256, 16, 0));
        OK(cudaMallocMipmappedArray(&mipmap, &format, extent, 3, 0));
        OK(cudaFreeMipmappedArray(mipmap));
        OK(cudaFreeArray(array));
        OK(cudaFreeAsync(ordered, NULL));
        OK(cudaFreeHost(pinned));
        OK(cudaFree(managed));
        OK(cudaFree(device));
    }
}

int main(int argc, char **argv)
{
    CUdeviceptr last = 0;
    in_the_open();
    for (int i = 1; i < argc; i++) {
        size_t bytes = strtoul(argv[i], NULL, 0);
        if (bytes)
            OK(hidden_allocate(&last, bytes));
        else
            OK(hidden_free(last));
    }
    in_the_open();
    OK(cudaDeviceSynchronize());
    printf("done\n");
    return 0;
}
