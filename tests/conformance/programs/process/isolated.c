/* SPDX-License-Identifier: MIT */
/*
 * A second CUDA in its own namespace (dlmopen) beside the program's: each works, and neither knows
 * the other's memory.
 */
#include <dlfcn.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define BYTES 5000

static void isolated_use(const struct route_runtime *runtime)
{
    unsigned char bytes[BYTES];
    void *block = NULL;
    int wrong = 0;

    printf("isolated allocate: %d\n", (int)runtime->cudaMalloc(&block, BYTES));
    printf("isolated fill: %d\n", (int)runtime->cudaMemset(block, 3, BYTES));
    printf("isolated read: %d\n",
           (int)runtime->cudaMemcpy(bytes, block, BYTES, cudaMemcpyDeviceToHost));
    for (int i = 0; i < BYTES; i++)
        wrong += bytes[i] != 3;
    printf("isolated wrong: %d\n", wrong);
    printf("isolated free: %d\n", (int)runtime->cudaFree(block));
}

int program_isolated(const char *self, const char *route, const char *argument)
{
    struct route_runtime runtime = {0};
    void *block = NULL, *library = dlmopen(LM_ID_NEWLM, "libcudart.so.13", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        route_skip("no runtime in a namespace of its own");
#define FIND(name) *(void **)&runtime.name = dlsym(library, #name)
    FIND(cudaMalloc);
    FIND(cudaFree);
    FIND(cudaMemset);
    FIND(cudaMemcpy);
#undef FIND
    route_start();
    route_report("allocate", route_allocate(&block, BYTES));
    isolated_use(&runtime);
    route_report("free", route_free(block));
    isolated_use(&runtime);
    return 0;
}
