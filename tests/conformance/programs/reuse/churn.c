/* SPDX-License-Identifier: MIT */
/* Many small allocations and frees on several threads at once. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define THREADS 4
#define BLOCKS  64
#define STEPS   5000

static void *churn(void *seed)
{
    void *blocks[BLOCKS] = {0};
    uint32_t state = (uint32_t)(uintptr_t)seed;
    intptr_t errors = 0;

    route_start();
    for (int i = 0; i < STEPS; i++) {
        state = state * 1664525 + 1013904223;
        void **block = &blocks[state >> 8 & (BLOCKS - 1)];
        if (*block)
            errors += route_free(*block) != 0, *block = NULL;
        else
            errors += route_allocate(block, (size_t)1 << (state >> 16 & 15)) != 0;
    }
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i])
            errors += route_free(blocks[i]) != 0;
    return (void *)errors;
}

int program_churn(const char *self, const char *route, const char *argument)
{
    pthread_t threads[THREADS];
    intptr_t total = 0;

    route_start();
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < THREADS; i++) {
        void *errors;

        pthread_join(threads[i], &errors);
        total += (intptr_t)errors;
    }
    printf("errors: %d\n", (int)total);
    route_report("last error", route_last_error());
    return total != 0;
}
