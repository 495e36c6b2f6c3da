/* SPDX-License-Identifier: MIT */
/*
 * The way from the runtime to the driver: exactly one dlsym, for cuGetProcAddress_v2, then only
 * cuGetProcAddress, all at the first use; and the runtime calls the returned functions.
 *
 * This program defines dlsym itself, before the runtime's eyes, and hands out a resolver of its own
 * that counts, and that substitutes cuMemAlloc, as a preloaded library would.
 */
#include "tests/simgpu/tests/runtime/support.h"

#include <cuda.h>
#include <stdint.h>

typedef void *(*dlsym_function)(void *, const char *);
typedef CUresult (*resolver)(const char *, void **, int, cuuint64_t,
                             CUdriverProcAddressQueryResult *);

void *dlsym(void *handle, const char *name);

static int watching;      /* look-ups count from the first runtime call on */
static int look_ups;      /* dlsym calls seen */
static int questions;     /* cuGetProcAddress calls seen */
static int per_thread;    /* of these, for per-thread default streams */
static int resolver_asks; /* of these, for cuGetProcAddress itself */
static int other_names;   /* dlsym for anything but cuGetProcAddress_v2 */
static int allocations;   /* through the substitute */
static resolver real_resolver;
static CUresult (*real_allocate)(CUdeviceptr *, size_t);

static dlsym_function real_dlsym(void)
{
    return (dlsym_function)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
}

static CUresult allocate(CUdeviceptr *address, size_t bytes)
{
    allocations++;
    return real_allocate(address, bytes);
}

static CUresult resolve(const char *name, void **function, int version, cuuint64_t flags,
                        CUdriverProcAddressQueryResult *status)
{
    CUresult result = real_resolver(name, function, version, flags, status);

    questions++;
    per_thread += flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    if (!strcmp(name, "cuGetProcAddress")) {
        resolver_asks++;
        if (version >= 12000)
            *function = (void *)resolve;
    }
    if (!strcmp(name, "cuMemAlloc") && version == 3020) {
        real_allocate = *(CUresult(**)(CUdeviceptr *, size_t))function;
        *function = (void *)allocate;
    }
    return result;
}

void *dlsym(void *handle, const char *name)
{
    void *found = real_dlsym()(handle, name);

    if (!watching)
        return found;
    look_ups++;
    if (strcmp(name, "cuGetProcAddress_v2")) {
        other_names++;
        return found;
    }
    real_resolver = (resolver)found;
    return (void *)resolve;
}

int main(void)
{
    void *pointer;
    int version = 0;

    watching = 1;
    OK(cudaRuntimeGetVersion(&version)); /* asks nothing of the driver */
    EQUAL(look_ups, 0);

    OK(cudaMalloc(&pointer, 4096));
    EQUAL(look_ups, 1);
    EQUAL(other_names, 0);
    EQUAL(questions, 440); /* what libcudart 13.0 asks */
    EQUAL(per_thread, 74); /* likewise */
    EQUAL(resolver_asks, 2);
    EQUAL(allocations, 1);

    OK(cudaMemset(pointer, 0, 4096));
    OK(cudaFree(pointer));
    OK(cudaDeviceSynchronize());
    EQUAL(look_ups, 1);
    EQUAL(questions, 440); /* all at once, none later */

    /* A program that asks the runtime for a driver function gets the substitute too. */
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult found;
    OK(cudaGetDriverEntryPointByVersion("cuMemAlloc", &function, 12000, cudaEnableDefault, &found));
    EQUAL(found, cudaDriverEntryPointSuccess);
    CHECK(function);
    OK(cudaGetDriverEntryPointByVersion("cuNoSuchFunction", &function, 12000, 0, &found));
    EQUAL(found, cudaDriverEntryPointSymbolNotFound);
    CHECK(!function);
    EXPECT(cudaErrorInvalidValue,
           cudaGetDriverEntryPointByVersion("cuInit", &function, 99999, 0, &found));
    return check_done();
}
