/* SPDX-License-Identifier: MIT */
/* errno is the program's. */
#include <errno.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

static int wrong;

#define KEEPS(call)                                                                                \
    do {                                                                                           \
        errno = 77;                                                                                \
        (void)(call);                                                                              \
        if (errno != 77)                                                                           \
            wrong++, printf("%s: errno %d\n", #call, errno);                                       \
    } while (0)

/* Enough to be freed and asked for that an allocator in between calls the device. */
static void blocks(size_t bytes)
{
    void *block[40];
    for (int i = 0; i < 40; i++)
        KEEPS(door_allocate(&block[i], bytes));
    for (int i = 0; i < 40; i++)
        KEEPS(door_free(block[i]));
}

int program_error_number(const char *self, const char *door, const char *argument)
{
    void *pointer = NULL, *pinned = NULL;
    size_t free_bytes, total;
    CUipcMemHandle handle;
    door_start();
    door_free(NULL);
    KEEPS(door_allocate(&pointer, 1000));
    KEEPS(door_memory_info(&free_bytes, &total));
    KEEPS(door_free(pointer));
    KEEPS(door_free(pointer));
    KEEPS(door_allocate(&pointer, 50 << 20));
    KEEPS(door_free(pointer));
    KEEPS(door_allocate(&pointer, (size_t)1 << 60));
    KEEPS(door_allocate(&pointer, 1000));
    KEEPS(door_ipc_export(&handle, pointer));
    KEEPS(door_free(pointer));
    blocks(1000);
    blocks(1 << 20);
    blocks(5 << 20);
    blocks(3 << 20);
    KEEPS(door_host_allocate(&pinned, 1000));
    KEEPS(door_host_free(pinned));
    printf("done\n");
    return wrong != 0;
}
