/* SPDX-License-Identifier: MIT */
/*
 * The size of the device by every query and every kind of allocation: the refusals at the limit,
 * and the memory afterwards. Sizes are whole segments of the driver, so the figures are exact.
 */
#include <stdio.h>

#include "route.h"
#include "program.h"

#define BLOCK      ((size_t)64 << 20)
#define BLOCKS_MAX 64

static void say(const char *when)
{
    size_t free_bytes = 0, total = 0, alone = 0;

    route_report(when, route_memory_info(&free_bytes, &total));
    printf("free %zu, total %zu\n", free_bytes, total);
    route_report("free alone", route_memory_info(&alone, NULL));
    printf("%zu\n", alone);
}

static void properties(void)
{
    struct cudaDeviceProp told;
    size_t bytes = 0;

    DRIVER(cuDeviceTotalMem)(&bytes, 0);
    printf("device: %zu\n", bytes);
    if (!route_is_runtime)
        return;
    route_report("properties", (int)route_runtime.cudaGetDeviceProperties(&told, 0));
    printf("device: %zu\n", told.totalGlobalMem);
}

static void ordinary(size_t bytes)
{
    void *blocks[BLOCKS_MAX];
    int count = 0, error = 0;

    while (count < BLOCKS_MAX && (error = route_allocate(&blocks[count], bytes)) == 0)
        count++;
    printf("%d of %zu\n", count, bytes);
    route_report("then", error);
    route_report("last error", route_last_error());
    say("full");
    for (int i = 0; i < count; i++)
        route_free(blocks[i]);
    say("empty");
}

static void in_order(CUstream stream)
{
    void *first = NULL, *second = NULL;

    route_report("in order", route_allocate_async(&first, 10 * BLOCK, stream));
    route_report("in order", route_allocate_async(&second, 10 * BLOCK, stream));
    route_report("last error", route_last_error());
    say("meanwhile");
    route_report("ordinary", route_allocate(&second, 10 * BLOCK));
    route_report("last error", route_last_error());
    route_report("free in order", route_free_async(first, stream));
    route_report("wait", route_stream_synchronize(stream));
    route_report("ordinary", route_allocate(&second, 10 * BLOCK));
    route_report("free", route_free(second));
}

static void report_driver(const char *step, CUresult result)
{
    const char *name = "?";

    DRIVER(cuGetErrorName)(result, &name);
    printf("%s: %s\n", step, name);
}

static void physical(void)
{
    CUmemAllocationProp wanted = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                  .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemGenericAllocationHandle first, second;

    report_driver("physical", DRIVER(cuMemCreate)(&first, 10 * BLOCK, &wanted, 0));
    report_driver("physical", DRIVER(cuMemCreate)(&second, 10 * BLOCK, &wanted, 0));
    say("meanwhile");
    report_driver("release", DRIVER(cuMemRelease)(first));
    report_driver("physical", DRIVER(cuMemCreate)(&second, 10 * BLOCK, &wanted, 0));
    report_driver("release", DRIVER(cuMemRelease)(second));
}

static void others(void)
{
    void *pointer;
    size_t pitch;

    route_report("pitched", route_allocate_pitched(&pointer, &pitch, 1000, (size_t)3 << 20));
    route_report("last error", route_last_error());
    route_report("pitched", route_allocate_pitched(&pointer, &pitch, 1000, (size_t)1 << 19));
    say("meanwhile");
    route_report("free", route_free(pointer));
    route_report("managed", route_managed_allocate(&pointer, 20 * BLOCK));
    say("meanwhile");
    route_report("free", route_free(pointer));
}

int program_device_size(const char *self, const char *route, const char *argument)
{
    CUstream stream;

    route_start();
    route_report("stream", route_stream_create(&stream));
    properties();
    say("first");
    ordinary(BLOCK);
    ordinary(((size_t)1 << 30) + 1);
    ordinary((size_t)1 << 30);
    in_order(stream);
    physical();
    others();
    ordinary(7 * BLOCK);
    return 0;
}
