/* SPDX-License-Identifier: MIT */
/*
 * A library in place of the driver that defines one function itself, and is linked with a library
 * that has them all. With REST a library to link with: the driver takes its place.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>

#ifdef REST
int cuInit(unsigned flags)
{
    return flags ? 0 : -1;
}
#else
int cuInit(unsigned flags);

int (*const conformance_rest)(unsigned) = cuInit;

int cuCtxGetCurrent(void **ret_context)
{
    int (*next)(void **);

    *(void **)&next = dlsym(RTLD_NEXT, "cuCtxGetCurrent");
    return next ? next(ret_context) : -1;
}
#endif
