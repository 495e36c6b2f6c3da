/* SPDX-License-Identifier: MIT */
/* Out of memory: the error, the remaining memory, and allocation of freed memory. */
#include <stdio.h>

#include "route.h"
#include "program.h"

#define BLOCK ((size_t)64 << 20)
#define MANY  100000

static void *blocks[MANY];

static int fill_up(size_t bytes, int *ret_error)
{
    int count = 0;

    while (count < MANY && (*ret_error = route_allocate(&blocks[count], bytes)) == 0)
        count++;
    return count;
}

static void free_all(int count)
{
    int errors = 0;

    for (int i = 0; i < count; i++)
        errors += route_free(blocks[i]) != 0;
    printf("errors of free: %d\n", errors);
}

int program_out_of_memory(const char *self, const char *route, const char *argument)
{
    size_t free_bytes, total;
    void *pointer, *untouched = (void *)0x1234;
    int error, first, second;

    route_start();
    first = fill_up(BLOCK, &error);
    printf("some fit: %d\n", first > 1);
    route_report("then", error);
    route_report("last error", route_last_error());
    route_report("last error again", route_last_error());
    pointer = untouched;
    route_report("more than is left", route_allocate(&pointer, 2 * BLOCK));
    printf("pointer untouched: %d\n", pointer == untouched);
    route_report("last error", route_last_error());
    route_report("a free", route_free(blocks[--first]));
    route_report("half of that", route_allocate(&blocks[first++], BLOCK / 2));
    free_all(first);
    second = fill_up(BLOCK, &error);
    printf("as many again: %d\n", second >= first - 1);
    free_all(second);
    route_report("last error", route_last_error());
    /* After many small ones, the whole must be free for one large one. */
    for (first = 0; first < 3000 && route_allocate(&blocks[first], 100000) == 0; first++)
        continue;
    printf("small ones: %d\n", first);
    free_all(first);
    route_report("information", route_memory_info(&free_bytes, &total));
    route_report("most of it at once", route_allocate(&pointer, free_bytes / 10 * 9));
    route_report("free", route_free(pointer));
    return 0;
}
