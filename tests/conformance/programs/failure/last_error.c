/* SPDX-License-Identifier: MIT */
/* The runtime's last error stays what the program's own calls made it. */
#include <stdio.h>

#include "door.h"
#include "program.h"

int program_last_error(const char *self, const char *door, const char *argument)
{
    void *pointer, *other;
    size_t free_bytes, total;
    door_start();
    if (!door_is_runtime) {
        printf("the driver has none\n");
        return 0;
    }
    door_report("at the beginning", (int)door_runtime.cudaPeekAtLastError());
    door_report("allocate", door_allocate(&pointer, 1000));
    door_report("after success", (int)door_runtime.cudaPeekAtLastError());
    door_report("a wrong device", (int)door_runtime.cudaSetDevice(1000));
    door_report("after it", (int)door_runtime.cudaPeekAtLastError());
    for (int i = 0; i < 100; i++)
        if (door_allocate(&other, 1000 << i % 12) || door_free(other))
            printf("error\n");
    door_report("information", door_memory_info(&free_bytes, &total));
    door_report("after successes", (int)door_runtime.cudaPeekAtLastError());
    door_report("free", door_free(pointer));
    door_report("taken", door_last_error());
    door_report("then", door_last_error());
    door_report("double free", door_free(pointer));
    door_report("peek", (int)door_runtime.cudaPeekAtLastError());
    door_report("taken", door_last_error());
    door_report("then", door_last_error());
    return 0;
}
