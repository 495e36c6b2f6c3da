/* SPDX-License-Identifier: MIT */
/* Frees of what must not be freed so: each is refused, and nothing is harmed by it. */
#include <stdio.h>
#include <stdlib.h>

#include "door.h"
#include "program.h"

#define BLOCKS 8

static void refused(const char *what, void *pointer)
{
    door_report(what, door_free(pointer));
    door_report("  last error", door_last_error());
}

static void around(size_t bytes)
{
    char *blocks[BLOCKS];
    printf("blocks of %zu\n", bytes);
    for (int i = 0; i < BLOCKS; i++)
        door_report("allocate", door_allocate((void **)&blocks[i], bytes));
    refused("one byte in", blocks[0] + 1);
    refused("in the middle", blocks[1] + bytes / 2);
    door_report("free", door_free(blocks[2]));
    refused("again", blocks[2]);
    refused("and again", blocks[2]);
    refused("in the middle of the freed", blocks[2] + bytes / 2);
    for (int i = 0; i < BLOCKS; i++)
        if (i != 2)
            door_report("free", door_free(blocks[i]));
    for (int i = 0; i < BLOCKS; i++)
        refused("once more", blocks[i]);
}

int program_bad_free(const char *self, const char *door, const char *argument)
{
    int on_stack;
    void *pinned, *heap = malloc(100);
    door_start();
    around(100);
    around(100000);
    around((size_t)5 << 20);
    refused("stack", &on_stack);
    refused("heap", heap);
    refused("text", (void *)program_bad_free);
    refused("address 1", (void *)1);
    door_report("page-locked allocate", door_host_allocate(&pinned, 4096));
    refused("page-locked", pinned);
    door_report("page-locked free", door_host_free(pinned));
    free(heap);
    return 0;
}
