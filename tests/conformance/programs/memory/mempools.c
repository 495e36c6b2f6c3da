/* SPDX-License-Identifier: MIT */
/*
 * Release thresholds of stream-ordered pools: of the default pool and of new ones, and thresholds
 * that the program sets. With an argument the program sets the default pool's before it is used.
 */
#include <stdio.h>

#include "route.h"
#include "program.h"

static void print_threshold(const char *which, CUmemoryPool pool)
{
    cuuint64_t threshold = 1;

    DRIVER(cuMemPoolGetAttribute)(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
    printf("%s: %llu\n", which, (unsigned long long)threshold);
}

static void set_threshold(CUmemoryPool pool, cuuint64_t threshold)
{
    DRIVER(cuMemPoolSetAttribute)(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
}

int program_mempools(const char *self, const char *route, const char *argument)
{
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemoryPool pool, created;
    CUstream stream;
    void *pointer;

    route_start();
    route_report("stream", route_stream_create(&stream));
    DRIVER(cuDeviceGetDefaultMemPool)(&pool, 0);
    if (argument)
        set_threshold(pool, 12345);
    route_report("allocate", route_allocate_async(&pointer, 10000, stream));
    print_threshold("default", pool);
    route_report("free", route_free_async(pointer, stream));
    set_threshold(pool, 54321);
    route_report("allocate", route_allocate_async(&pointer, 10000, stream));
    print_threshold("default, set", pool);
    route_report("free", route_free_async(pointer, stream));
    DRIVER(cuMemPoolCreate)(&created, &properties);
    print_threshold("created", created);
    set_threshold(created, 777);
    print_threshold("created, set", created);
    DRIVER(cuMemPoolDestroy)(created);
    return 0;
}
