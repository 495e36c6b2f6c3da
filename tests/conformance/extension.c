/* SPDX-License-Identifier: MIT */
/*
 * A library linked with the runtime, to be loaded by a program that is not: its references are
 * resolved in its own scope, or, with RTLD_DEEPBIND, there before anywhere else.
 */
#include "route.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED void extension_fill(struct route_runtime *ret_functions);
EXPORTED int extension_allocate(void **ret_pointer, size_t bytes);
EXPORTED int extension_free(void *pointer);

void extension_fill(struct route_runtime *ret_functions)
{
#define X(name) ret_functions->name = name;
    ROUTE_RUNTIME_FUNCTIONS(X)
#undef X
}

int extension_allocate(void **ret_pointer, size_t bytes)
{
    return (int)cudaMalloc(ret_pointer, bytes);
}

int extension_free(void *pointer)
{
    return (int)cudaFree(pointer);
}
