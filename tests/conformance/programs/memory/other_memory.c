/* SPDX-License-Identifier: MIT */
/* Memory of other kinds, which is forwarded: the same results and errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"
#include "program.h"

static void pitched(void)
{
    void *pointer;
    size_t pitch;

    if (!route_is_runtime)
        return;
    int error = (int)route_runtime.cudaMallocPitch(&pointer, &pitch, 1000, 10);
    printf("pitch: %s %zu\n", route_error_name(error), pitch);
    route_report("fill", route_fill(pointer, 1, pitch * 10));
    route_report("free", route_free(pointer));
    route_report("again", route_free(pointer));
}

int program_other_memory(const char *self, const char *route, const char *argument)
{
    void *pointer, *pages = aligned_alloc(4096, 1 << 20);

    route_start();
    route_report("managed", route_managed_allocate(&pointer, 100000));
    memset(pointer, 1, 100000);
    route_report("free", route_free(pointer));
    route_report("again", route_free(pointer));
    route_report("page-locked", route_host_allocate(&pointer, 100000));
    memset(pointer, 1, 100000);
    route_report("free", route_host_free(pointer));
    route_report("again", route_host_free(pointer));
    route_report("register", route_host_register(pages, 1 << 20));
    route_report("twice", route_host_register(pages, 1 << 20));
    route_report("unregister", route_host_unregister(pages));
    route_report("twice", route_host_unregister(pages));
    pitched();
    route_report("ordinary", route_allocate(&pointer, 1000));
    route_report("freed as page-locked", route_host_free(pointer));
    route_report("unregistered", route_host_unregister(pointer));
    route_report("free", route_free(pointer));
    route_report("last error", route_last_error());
    free(pages);
    return 0;
}
