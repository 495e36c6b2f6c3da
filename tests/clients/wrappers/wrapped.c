/* SPDX-License-Identifier: MIT */
/*
 * Allocates through linked functions ("linked"), through the driver ("driver"), or through
 * functions looked up in the runtime by its handle ("handle") or in the global scope ("default").
 * Prints results and memory figures.
 */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define BLOCKS 20

int cuInit(unsigned flags);
int cuMemAlloc_v2(unsigned long long *ret_pointer, size_t bytes);
int cuMemFree_v2(unsigned long long pointer);

static int through_driver(void)
{
    unsigned long long blocks[BLOCKS];
    int errors = cuInit(0) + (int)cudaFree(NULL);
    for (int i = 0; i < BLOCKS; i++)
        errors += cuMemAlloc_v2(&blocks[i], 5000u << i % 4);
    for (int i = 0; i < BLOCKS; i++)
        errors += cuMemFree_v2(blocks[i]);
    return errors + (cuMemFree_v2(0x1230) == 0);
}

int main(int argc, char **argv)
{
    __typeof__(cudaMalloc(NULL, 0)) (*take)(void **, size_t) = cudaMalloc;
    __typeof__(cudaFree) *give = cudaFree;
    void *blocks[BLOCKS], *host = NULL;
    void *library = argc > 1 && !strcmp(argv[1], "handle") ? dlopen("libcudart.so.13", RTLD_LAZY)
                                                           : RTLD_DEFAULT;
    size_t free_bytes = 0, total = 0;
    int errors = 0;
    if (argc > 1 && !strcmp(argv[1], "driver")) {
        printf("errors: %d\n", through_driver());
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "linked")) {
        *(void **)&take = dlsym(library, "cudaMalloc");
        *(void **)&give = dlsym(library, "cudaFree");
    }
    for (int i = 0; i < BLOCKS; i++)
        errors += (int)take(&blocks[i], (size_t)5000 << i % 4);
    errors += (int)cudaMemGetInfo(&free_bytes, &total) + (int)cudaMemset(blocks[0], 1, 5000);
    for (int i = 0; i < BLOCKS; i++)
        errors += (int)give(blocks[i]);
    errors += (int)cudaHostAlloc(&host, 100, 0);
    printf("errors: %d, of %zu GiB\n", errors, total >> 30);
    printf("free of nothing: %d, last error %d\n", give((void *)0x1230), cudaGetLastError());
    return 0;
}
