/* SPDX-License-Identifier: MIT */
/* Calls the runtime it is linked with; optimised, each is a jump. */
#include <stddef.h>

int cudaMalloc(void **pointer, size_t bytes);
int cudaFree(void *pointer);

__attribute__((visibility("default"))) int calls_malloc(void **pointer, size_t bytes)
{
    return cudaMalloc(pointer, bytes);
}

__attribute__((visibility("default"))) int calls_free(void *pointer)
{
    return cudaFree(pointer);
}
