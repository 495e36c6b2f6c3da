/* SPDX-License-Identifier: MIT */
/*
 * driver_dlsym: a program that opens libcuda.so.1 itself and asks for every function by name.
 *
 * The routes: dlsym; cuGetProcAddress as it was in CUDA 11.3 (4 arguments) and as it is since 12.0
 * (5); each of these two as found by asking the other for "cuGetProcAddress"; and the 12.0 one
 * asked for per-thread default streams. Memory of each route is then freed through each other one.
 * One thread.
 */
#include "tests/workloads/driver_exercise.h"

#include <dlfcn.h>

#define TEXT_OF(x)     #x
#define EXPANDED(name) TEXT_OF(name) /* the exported name: cuda.h renames cuMemAlloc and others */

/** One of the two forms of cuGetProcAddress; the other is NULL. */
struct resolver {
    PFN_cuGetProcAddress_v11030 four;
    PFN_cuGetProcAddress_v12000 five;
};

static void *resolver_find(const struct resolver *resolver, const char *name, int version,
                           cuuint64_t flags)
{
    void *found = NULL;
    CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    CUresult result = resolver->four ? resolver->four(name, &found, version, flags)
                                     : resolver->five(name, &found, version, flags, &status);
    if (result != CUDA_SUCCESS || !found ||
        (resolver->five && status != CU_GET_PROC_ADDRESS_SUCCESS)) {
        fprintf(stderr, "driver_dlsym: cuGetProcAddress(%s, %d): result %d, status %d\n", name,
                version, (int)result, (int)status);
        exit(1);
    }
    return found;
}

static void *library_find(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "driver_dlsym: dlsym(%s): %s\n", name, dlerror());
        exit(1);
    }
    return found;
}

/* Object pointers become function pointers by a copy: ISO C has no cast for it. */
#define FUNCTION_SET(field, pointer)                                                               \
    do {                                                                                           \
        void *address = (pointer);                                                                 \
        memcpy(&(field), &address, sizeof(address));                                               \
    } while (0)

static struct driver driver_from_library(const char *route, void *library)
{
    struct driver driver = {.route = route};
#define DRIVER_FIND(name, version)                                                                 \
    FUNCTION_SET(driver.name##_pfn, library_find(library, EXPANDED(name)));
    DRIVER_FUNCTIONS(DRIVER_FIND)
#undef DRIVER_FIND
    return driver;
}

/** Per-thread variants exist since 7.0: an older version would find the ordinary function. */
static int version_for(int version, cuuint64_t flags)
{
    int per_thread = flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    return per_thread && version < 7000 ? 7000 : version;
}

static struct driver driver_from_resolver(const char *route, const struct resolver *resolver,
                                          cuuint64_t flags)
{
    struct driver driver = {.route = route};
#define DRIVER_FIND(name, version)                                                                 \
    FUNCTION_SET(driver.name##_pfn,                                                                \
                 resolver_find(resolver, #name, version_for(version, flags), flags));
    DRIVER_FUNCTIONS(DRIVER_FIND)
#undef DRIVER_FIND
    return driver;
}

/** Memory allocated by one route is freed by the next. */
static void cross_free(const struct driver *drivers, size_t count)
{
    CUdevice device = 0;
    CUcontext context = NULL;
    size_t freed = 0;
    DRIVER_CHECK(&drivers[0], cuDeviceGet_pfn(&device, 0));
    DRIVER_CHECK(&drivers[0], cuDevicePrimaryCtxRetain_pfn(&context, device));
    DRIVER_CHECK(&drivers[0], cuCtxSetCurrent_pfn(context));
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++, freed++) {
            CUdeviceptr block = 0;
            DRIVER_CHECK(&drivers[i], cuMemAlloc_pfn(&block, 1000 + 100000 * j));
            DRIVER_CHECK(&drivers[j], cuMemFree_pfn(block));
        }
    }
    DRIVER_CHECK(&drivers[0], cuDevicePrimaryCtxRelease_pfn(device));
    printf("freed by another route: %zu\n", freed);
}

int main(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "driver_dlsym: %s\n", dlerror());
        return 1;
    }
    struct resolver four = {NULL, NULL}, five = {NULL, NULL};
    struct resolver four_again = {NULL, NULL}, five_again = {NULL, NULL};
    FUNCTION_SET(four.four, library_find(library, "cuGetProcAddress"));
    FUNCTION_SET(five.five, library_find(library, "cuGetProcAddress_v2"));
    FUNCTION_SET(four_again.four, resolver_find(&five, "cuGetProcAddress", 11030, 0));
    FUNCTION_SET(five_again.five, resolver_find(&four, "cuGetProcAddress", 12000, 0));

    const struct driver drivers[] = {
        driver_from_library("dlsym", library),
        driver_from_resolver("cuGetProcAddress 11.3", &four, CU_GET_PROC_ADDRESS_DEFAULT),
        driver_from_resolver("cuGetProcAddress 12.0", &five, CU_GET_PROC_ADDRESS_LEGACY_STREAM),
        driver_from_resolver("11.3 found by 12.0", &four_again, CU_GET_PROC_ADDRESS_DEFAULT),
        driver_from_resolver("12.0 found by 11.3", &five_again, CU_GET_PROC_ADDRESS_DEFAULT),
        driver_from_resolver("per-thread streams", &five,
                             CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM),
    };
    const size_t count = sizeof(drivers) / sizeof(drivers[0]);
    for (size_t i = 0; i < count; i++)
        exercise_driver(&drivers[i]);
    cross_free(drivers, count);
    dlclose(library);
    return 0;
}
