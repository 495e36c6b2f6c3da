/* SPDX-License-Identifier: MIT */
/* After a fault on the device the context refuses everything, allocation and free too. */
#include <stdio.h>

#include "door.h"
#include "fault.h"
#include "program.h"

int program_broken(const char *self, const char *door, const char *argument)
{
    void *blocks[4], *pointer = NULL;
    door_start();
    for (int i = 0; i < 4; i++)
        door_report("allocate", door_allocate(&blocks[i], 10000));
    door_report("free", door_free(blocks[3]));
    door_report("fault", door_fault());
    door_report("wait", door_synchronize());
    door_report("free", door_free(blocks[0]));
    door_report("allocate", door_allocate(&pointer, 10000));
    door_report("free", door_free(blocks[1]));
    door_report("last error", door_last_error());
    return 0;
}
