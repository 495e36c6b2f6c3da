/* SPDX-License-Identifier: MIT */
/* Invalid frees: each is refused, and no block is affected. */
#include <stdio.h>
#include <stdlib.h>

#include "route.h"
#include "program.h"

#define BLOCKS 8

static void refused(const char *what, void *pointer)
{
    route_report(what, route_free(pointer));
    route_report("  last error", route_last_error());
}

static void around(size_t bytes)
{
    char *blocks[BLOCKS];

    printf("blocks of %zu\n", bytes);
    for (int i = 0; i < BLOCKS; i++)
        route_report("allocate", route_allocate((void **)&blocks[i], bytes));
    refused("one byte in", blocks[0] + 1);
    refused("in the middle", blocks[1] + bytes / 2);
    route_report("free", route_free(blocks[2]));
    refused("again", blocks[2]);
    refused("and again", blocks[2]);
    refused("in the middle of the freed", blocks[2] + bytes / 2);
    for (int i = 0; i < BLOCKS; i++)
        if (i != 2)
            route_report("free", route_free(blocks[i]));
    for (int i = 0; i < BLOCKS; i++)
        refused("once more", blocks[i]);
}

int program_bad_free(const char *self, const char *route, const char *argument)
{
    int on_stack;
    void *pinned, *heap = malloc(100);

    route_start();
    around(100);
    around(100000);
    around((size_t)5 << 20);
    refused("stack", &on_stack);
    refused("heap", heap);
    refused("text", (void *)program_bad_free);
    refused("address 1", (void *)1);
    route_report("page-locked allocate", route_host_allocate(&pinned, 4096));
    refused("page-locked", pinned);
    route_report("page-locked free", route_host_free(pinned));
    free(heap);
    return 0;
}
