/* SPDX-License-Identifier: MIT */
/*
 * Stream-ordered and ordinary memory, freed by each other's functions. With an argument ordinary
 * memory of a full device.
 */
#include <stdio.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BYTES ((size_t)100000)
#define MOST  ((size_t)64 << 20)

static size_t free_bytes(void)
{
    size_t left = 0, total;

    DRIVER(cuMemGetInfo)(&left, &total);
    return left;
}

static int full(CUstream stream)
{
    void *block, *other;

    route_report("allocate", route_allocate(&block, BYTES));
    for (size_t bytes = MOST; bytes; bytes /= 2)
        while (route_allocate(&other, bytes) == 0)
            ;
    route_report("free in order", route_free_async(block, stream));
    route_report("wait", route_stream_synchronize(stream));
    route_report("allocate", route_allocate(&block, BYTES));
    return 0;
}

/* The answer does not wait for the work of another stream, and no memory is lost by it. */
static void beside_work(void *block, CUstream stream)
{
    void *filled;
    CUstream busy;

    route_report("allocate", route_allocate(&filled, BYTES));
    route_report("stream", (int)DRIVER(cuStreamCreate)(&busy, CU_STREAM_NON_BLOCKING));
    size_t before = free_bytes();
    alarm(20);
    if (route_can_hold())
        route_hold(busy);
    route_report("fill", route_fill_async(filled, 1, BYTES, busy));
    route_report("free in order", route_free_async(block, stream));
    if (route_can_hold())
        route_unhold(busy);
    alarm(0);
    route_report("wait", route_stream_synchronize(busy));
    route_report("wait", route_stream_synchronize(stream));
    printf("lost: %zd\n", (ssize_t)(before - free_bytes()));
    route_report("stream", route_stream_destroy(busy));
    route_report("free", route_free(filled));
}

int program_stream_ordered(const char *self, const char *route, const char *argument)
{
    void *pointer, *other;
    CUstream stream;

    route_start();
    route_report("stream", route_stream_create(&stream));
    if (argument)
        return full(stream);
    int error = route_allocate_async(&pointer, 10000, stream);
    route_report("allocate in order", error);
    if (error)
        return 0;
    route_report("fill", route_fill_async(pointer, 3, 10000, stream));
    route_report("free in order", route_free_async(pointer, stream));
    route_report("wait", route_stream_synchronize(stream));
    route_report("allocate in order", route_allocate_async(&pointer, 10000, stream));
    route_report("wait", route_stream_synchronize(stream));
    route_report("ordinary free", route_free(pointer));
    route_report("again", route_free(pointer));
    route_report("ordinary allocate", route_allocate(&other, 10000));
    beside_work(other, stream);
    route_report("again", route_free(other));
    route_report("nothing", route_free_async(NULL, stream));
    route_report("stream", route_stream_destroy(stream));
    route_report("last error", route_last_error());
    return 0;
}
