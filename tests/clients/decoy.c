/* SPDX-License-Identifier: MIT */
/*
 * Behaves as NVIDIA's runtime on the simulated driver: requests a table that only NVIDIA's driver
 * has, and refuses every call. As a library it has the name of a runtime.
 */
#include <dlfcn.h>
#include <stddef.h>

#define REFUSED 801 /* cudaErrorNotSupported */

__attribute__((visibility("default"))) int cudaMalloc(void **pointer, size_t bytes)
{
    static const char id[16] = "only of NVIDIA's";
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    const void *table = NULL;
    int (*get)(const void **, const void *) = NULL;

    if (library)
        *(void **)&get = dlsym(library, "cuGetExportTable");
    if (get && get(&table, id) == 0)
        *pointer = NULL;
    return REFUSED;
}
