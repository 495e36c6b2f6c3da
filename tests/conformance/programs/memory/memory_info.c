/* SPDX-License-Identifier: MIT */
/*
 * Free and total memory: free memory falls with allocations and rises with frees, the total stays.
 */
#include <stdbool.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define BLOCK   ((size_t)32 << 20)
#define BLOCKS  10
#define SEGMENT ((size_t)2 << 20)

static size_t total_at_first;

static size_t available(void)
{
    size_t free_bytes = 0, total = 0;
    int error = route_memory_info(&free_bytes, &total);

    if (error)
        route_report("information", error);
    if (!total_at_first)
        total_at_first = total;
    if (total != total_at_first || free_bytes > total)
        printf("total changed, or less than free\n");
    return free_bytes;
}

int program_memory_info(const char *self, const char *route, const char *argument)
{
    void *blocks[BLOCKS], *small[100];
    bool fell = true, rose = true, steady = true;

    route_start();
    route_free(NULL);
    size_t first = available(), before = first;
    if (argument) {
        printf("total: %zu MiB, free: %zu MiB\n", total_at_first >> 20, first >> 20);
        return 0;
    }
    for (int i = 0; i < BLOCKS; i++) {
        route_report("allocate", route_allocate(&blocks[i], BLOCK));
        size_t now = available();
        fell = fell && now + BLOCK <= before;
        before = now;
    }
    for (int i = 0; i < 10; i++) {
        steady = steady && available() == before;
    }
    for (int i = 0; i < BLOCKS; i++) {
        route_report("free", route_free(blocks[i]));
        size_t now = available();
        rose = rose && now >= before + BLOCK;
        before = now;
    }
    printf("fell by each: %d, steady: %d, rose by each: %d, as before: %d\n", fell, steady, rose,
           before == first);
    fell = true;
    for (int i = 0; i < 100; i++) {
        if (route_allocate(&small[i], 3000))
            printf("error\n");
        size_t now = available();
        fell = fell && now <= before;
        before = now;
    }
    for (int i = 0; i < 100; i++)
        route_free(small[i]);
    /* The driver, too, may keep a segment for small blocks. */
    printf("never rose: %d, as before: %d\n", fell, available() + SEGMENT > first);
    return 0;
}
