/* SPDX-License-Identifier: MIT */
/* Memory of other kinds, which passes through: the same answers and codes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "door.h"
#include "program.h"

static void pitched(void)
{
    void *pointer;
    size_t pitch;
    if (!door_is_runtime)
        return;
    int error = (int)door_runtime.cudaMallocPitch(&pointer, &pitch, 1000, 10);
    printf("pitch: %s %zu\n", door_error_name(error), pitch);
    door_report("fill", door_fill(pointer, 1, pitch * 10));
    door_report("free", door_free(pointer));
    door_report("again", door_free(pointer));
}

int program_other_memory(const char *self, const char *door, const char *argument)
{
    void *pointer, *pages = aligned_alloc(4096, 1 << 20);
    door_start();
    door_report("managed", door_managed_allocate(&pointer, 100000));
    memset(pointer, 1, 100000);
    door_report("free", door_free(pointer));
    door_report("again", door_free(pointer));
    door_report("page-locked", door_host_allocate(&pointer, 100000));
    memset(pointer, 1, 100000);
    door_report("free", door_host_free(pointer));
    door_report("again", door_host_free(pointer));
    door_report("register", door_host_register(pages, 1 << 20));
    door_report("twice", door_host_register(pages, 1 << 20));
    door_report("unregister", door_host_unregister(pages));
    door_report("twice", door_host_unregister(pages));
    pitched();
    door_report("ordinary", door_allocate(&pointer, 1000));
    door_report("freed as page-locked", door_host_free(pointer));
    door_report("unregistered", door_host_unregister(pointer));
    door_report("free", door_free(pointer));
    door_report("last error", door_last_error());
    free(pages);
    return 0;
}
