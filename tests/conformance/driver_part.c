/* SPDX-License-Identifier: MIT */
/*
 * A library in place of the driver that defines one function itself, and is linked with a library
 * that has them all: with ACCEPTS the stream-ordered free, also of ordinary memory. With REST a
 * library to link with: the driver takes its place.
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

#ifdef ACCEPTS
#define INVALID_VALUE 1

int cuMemFreeAsync(unsigned long long address, void *stream)
{
    int (*ordered)(unsigned long long, void *), (*now)(unsigned long long);

    *(void **)&ordered = dlsym(RTLD_NEXT, "cuMemFreeAsync");
    *(void **)&now = dlsym(RTLD_NEXT, "cuMemFree_v2");
    int error = ordered(address, stream);
    return error == INVALID_VALUE ? now(address) : error;
}
#else
int cuCtxGetCurrent(void **ret_context)
{
    int (*next)(void **);

    *(void **)&next = dlsym(RTLD_NEXT, "cuCtxGetCurrent");
    return next ? next(ret_context) : -1;
}
#endif
#endif
