/* SPDX-License-Identifier: MIT */
/* The runtime's last error depends only on the program's own calls. */
#include <stdio.h>

#include "route.h"
#include "program.h"

int program_last_error(const char *self, const char *route, const char *argument)
{
    void *pointer, *other;
    size_t free_bytes, total;

    route_start();
    if (!route_is_runtime) {
        printf("the driver has none\n");
        return 0;
    }
    route_report("at the beginning", (int)route_runtime.cudaPeekAtLastError());
    route_report("allocate", route_allocate(&pointer, 1000));
    route_report("after success", (int)route_runtime.cudaPeekAtLastError());
    route_report("a wrong device", (int)route_runtime.cudaSetDevice(1000));
    route_report("after it", (int)route_runtime.cudaPeekAtLastError());
    for (int i = 0; i < 100; i++)
        if (route_allocate(&other, 1000 << i % 12) || route_free(other))
            printf("error\n");
    route_report("information", route_memory_info(&free_bytes, &total));
    route_report("after successes", (int)route_runtime.cudaPeekAtLastError());
    route_report("free", route_free(pointer));
    route_report("taken", route_last_error());
    route_report("then", route_last_error());
    route_report("double free", route_free(pointer));
    route_report("peek", (int)route_runtime.cudaPeekAtLastError());
    route_report("taken", route_last_error());
    route_report("then", route_last_error());
    return 0;
}
