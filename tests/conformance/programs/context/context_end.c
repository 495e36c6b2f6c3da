/* SPDX-License-Identifier: MIT */
/* The end of a context: its memory is gone, stale pointers are refused, a new one works. */
#include <stdio.h>

#include "door.h"
#include "program.h"

#define BLOCKS 20

static int reset(void)
{
    if (door_is_runtime)
        return (int)door_runtime.cudaDeviceReset();
    return (int)DRIVER(cuDevicePrimaryCtxReset)(0);
}

int program_context_end(const char *self, const char *door, const char *argument)
{
    void *blocks[BLOCKS], *fresh;
    unsigned char byte = 0;
    door_start();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++)
            door_report("allocate", door_allocate(&blocks[i], (size_t)1000 << i));
        door_report("fill", door_fill(blocks[5], 1, 1000));
        door_report("free", door_free(blocks[6]));
        door_report("reset", reset());
        door_start();
        for (int i = 0; i < BLOCKS; i++)
            door_report("stale", door_free(blocks[i]));
        door_report("last error", door_last_error());
        door_report("allocate", door_allocate(&fresh, 5000));
        door_report("fill", door_fill(fresh, 77, 5000));
        door_report("read", door_read(&byte, fresh, 1));
        printf("byte: %d\n", byte);
        door_report("free", door_free(fresh));
    }
    return 0;
}
