/* SPDX-License-Identifier: MIT */
/* The end of a context: its memory is gone, stale pointers are refused, a new context works. */
#include <stdio.h>

#include "route.h"
#include "program.h"

#define BLOCKS 20

static int reset(void)
{
    if (route_is_runtime)
        return (int)route_runtime.cudaDeviceReset();
    return (int)DRIVER(cuDevicePrimaryCtxReset)(0);
}

int program_context_end(const char *self, const char *route, const char *argument)
{
    void *blocks[BLOCKS], *fresh;
    unsigned char byte = 0;

    route_start();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++)
            route_report("allocate", route_allocate(&blocks[i], (size_t)1000 << i));
        route_report("fill", route_fill(blocks[5], 1, 1000));
        route_report("free", route_free(blocks[6]));
        route_report("reset", reset());
        route_start();
        for (int i = 0; i < BLOCKS; i++)
            route_report("stale", route_free(blocks[i]));
        route_report("last error", route_last_error());
        route_report("allocate", route_allocate(&fresh, 5000));
        route_report("fill", route_fill(fresh, 77, 5000));
        route_report("read", route_read(&byte, fresh, 1));
        printf("byte: %d\n", byte);
        route_report("free", route_free(fresh));
    }
    return 0;
}
