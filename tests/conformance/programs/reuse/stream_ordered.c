/* SPDX-License-Identifier: MIT */
/* Stream-ordered and ordinary memory, freed by each other's functions. */
#include <stdio.h>

#include "route.h"
#include "program.h"

int program_stream_ordered(const char *self, const char *route, const char *argument)
{
    void *pointer, *other;
    CUstream stream;

    route_start();
    route_report("stream", route_stream_create(&stream));
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
    route_report("free in order", route_free_async(other, stream));
    route_report("wait", route_stream_synchronize(stream));
    route_report("again", route_free(other));
    route_report("nothing", route_free_async(NULL, stream));
    route_report("stream", route_stream_destroy(stream));
    route_report("last error", route_last_error());
    return 0;
}
