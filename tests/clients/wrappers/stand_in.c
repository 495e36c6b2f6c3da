/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the runtime with memory of the host: the only definition of these functions.
 */
#include <stdlib.h>

__attribute__((visibility("default"))) int cudaMalloc(void **pointer, size_t bytes)
{
    *pointer = malloc(bytes);
    return *pointer ? 0 : 2;
}

__attribute__((visibility("default"))) int cudaFree(void *pointer)
{
    free(pointer);
    return 0;
}
