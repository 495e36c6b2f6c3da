/* SPDX-License-Identifier: MIT */
/* errno is the program's. */
#include <errno.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

#define CHECK(call)                                                                                \
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
    CHECK(door_allocate(&pointer, 1000));
    CHECK(door_memory_info(&free_bytes, &total));
    CHECK(door_free(pointer));
    CHECK(door_free(pointer));
    CHECK(door_allocate(&pointer, 50 << 20));
    CHECK(door_free(pointer));
    CHECK(door_allocate(&pointer, (size_t)1 << 60));
    CHECK(door_host_allocate(&pinned, 1000));
    CHECK(door_host_free(pinned));
    printf("done\n");
    return 0;
}
