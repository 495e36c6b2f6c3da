/* SPDX-License-Identifier: MIT */
/* Sizes that are special: nothing, no place for the answer, more than there is, every power. */
#include <stdint.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

int program_sizes(const char *self, const char *door, const char *argument)
{
    void *pointer = (void *)0x1234;
    door_start();
    door_report("size 0", door_allocate(&pointer, 0));
    printf("pointer after it: %p\n", pointer);
    door_report("no place for the answer", door_allocate(NULL, 4096));
    door_report("last error", door_last_error());
    pointer = (void *)0x1234;
    door_report("all there could be", door_allocate(&pointer, SIZE_MAX));
    door_report("nearly that", door_allocate(&pointer, SIZE_MAX - 4096));
    door_report("half of it", door_allocate(&pointer, SIZE_MAX / 2));
    printf("pointer after them: %p\n", pointer);
    door_report("last error", door_last_error());
    for (size_t bytes = 1; bytes <= (size_t)64 << 20; bytes *= 2) {
        int error = door_allocate(&pointer, bytes + 1);
        printf("%zu: %s, aligned: %d\n", bytes + 1, door_error_name(error),
               (uintptr_t)pointer % 256 == 0);
        door_report("free", door_free(pointer));
    }
    door_report("last error", door_last_error());
    return 0;
}
