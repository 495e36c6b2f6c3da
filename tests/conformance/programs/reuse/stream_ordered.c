/* SPDX-License-Identifier: MIT */
/* Stream-ordered and ordinary memory meet each other's free functions. */
#include <stdio.h>

#include "door.h"
#include "program.h"

int program_stream_ordered(const char *self, const char *door, const char *argument)
{
    void *pointer, *other;
    CUstream stream;
    door_start();
    door_report("stream", door_stream_create(&stream));
    int error = door_allocate_async(&pointer, 10000, stream);
    door_report("allocate in order", error);
    if (error)
        return 0;
    door_report("fill", door_fill_async(pointer, 3, 10000, stream));
    door_report("free in order", door_free_async(pointer, stream));
    door_report("wait", door_stream_synchronize(stream));
    door_report("allocate in order", door_allocate_async(&pointer, 10000, stream));
    door_report("wait", door_stream_synchronize(stream));
    door_report("ordinary free", door_free(pointer));
    door_report("again", door_free(pointer));
    door_report("ordinary allocate", door_allocate(&other, 10000));
    door_report("free in order", door_free_async(other, stream));
    door_report("wait", door_stream_synchronize(stream));
    door_report("again", door_free(other));
    door_report("nothing", door_free_async(NULL, stream));
    door_report("stream", door_stream_destroy(stream));
    door_report("last error", door_last_error());
    return 0;
}
