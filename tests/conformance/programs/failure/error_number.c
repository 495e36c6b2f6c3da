/* SPDX-License-Identifier: MIT */
/* errno is the program's. */
#include <errno.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

#define KEEPS(call)                                                                                \
    do {                                                                                           \
        errno = 77;                                                                                \
        (void)(call);                                                                              \
        if (errno != 77)                                                                           \
            printf("%s: errno %d\n", #call, errno);                                                \
    } while (0)

int program_error_number(const char *self, const char *door, const char *argument)
{
    void *pointer = NULL, *pinned = NULL;
    size_t free_bytes, total;
    door_start();
    door_free(NULL);
    KEEPS(door_allocate(&pointer, 1000));
    KEEPS(door_memory_info(&free_bytes, &total));
    KEEPS(door_free(pointer));
    KEEPS(door_free(pointer));
    KEEPS(door_allocate(&pointer, 50 << 20));
    KEEPS(door_free(pointer));
    KEEPS(door_allocate(&pointer, (size_t)1 << 60));
    KEEPS(door_host_allocate(&pinned, 1000));
    KEEPS(door_host_free(pinned));
    printf("done\n");
    return 0;
}
