/* SPDX-License-Identifier: MIT */
/* After a fault on the device the context refuses all calls, including allocation and free. */
#include <stdio.h>

#include "route.h"
#include "fault.h"
#include "program.h"

int program_broken(const char *self, const char *route, const char *argument)
{
    void *blocks[4], *pointer = NULL;

    route_start();
    for (int i = 0; i < 4; i++)
        route_report("allocate", route_allocate(&blocks[i], 10000));
    route_report("free", route_free(blocks[3]));
    route_report("fault", route_fault());
    route_report("wait", route_synchronize());
    route_report("free", route_free(blocks[0]));
    route_report("allocate", route_allocate(&pointer, 10000));
    route_report("free", route_free(blocks[1]));
    route_report("last error", route_last_error());
    return 0;
}
