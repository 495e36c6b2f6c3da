/* SPDX-License-Identifier: MIT */
/* The native module of a package of Python: it allocates, and what calls it is to be named. */
#include <stddef.h>

int cudaMalloc(void **pointer, size_t bytes);

__attribute__((visibility("default"))) void *native_take(size_t bytes)
{
    void *pointer = NULL;

    return cudaMalloc(&pointer, bytes) == 0 ? pointer : NULL;
}
