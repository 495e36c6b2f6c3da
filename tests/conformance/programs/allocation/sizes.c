/* SPDX-License-Identifier: MIT */
/* Special sizes: zero, a NULL result pointer, more memory than there is, every power of two. */
#include <stdint.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

int program_sizes(const char *self, const char *route, const char *argument)
{
    void *pointer = (void *)0x1234;

    route_start();
    route_report("size 0", route_allocate(&pointer, 0));
    printf("pointer after it: %p\n", pointer);
    route_report("no place for the answer", route_allocate(NULL, 4096));
    route_report("last error", route_last_error());
    pointer = (void *)0x1234;
    route_report("all there could be", route_allocate(&pointer, SIZE_MAX));
    route_report("nearly that", route_allocate(&pointer, SIZE_MAX - 4096));
    route_report("half of it", route_allocate(&pointer, SIZE_MAX / 2));
    printf("pointer after them: %p\n", pointer);
    route_report("last error", route_last_error());
    for (size_t bytes = 1; bytes <= (size_t)64 << 20; bytes *= 2) {
        int error = route_allocate(&pointer, bytes + 1);

        printf("%zu: %s, aligned: %d\n", bytes + 1, route_error_name(error),
               (uintptr_t)pointer % 256 == 0);
        route_report("free", route_free(pointer));
    }
    route_report("last error", route_last_error());
    return 0;
}
