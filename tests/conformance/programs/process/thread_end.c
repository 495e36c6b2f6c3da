/* SPDX-License-Identifier: MIT */
/*
 * Memory of threads that end stays until it is freed, also in destructors of thread-specific data,
 * which run after the thread-local variables may be gone.
 */
#include <pthread.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

#define THREADS 40
#define BLOCKS  10

static void *held[THREADS][BLOCKS];
static pthread_key_t early, late;
static int freed_in_destructor;

static void *hold_blocks(void *mine)
{
    void **blocks = mine;
    intptr_t errors = 0;

    route_start();
    for (int i = 0; i < BLOCKS; i++)
        errors += route_allocate(&blocks[i], (size_t)500 << i) != 0;
    errors += route_fill(blocks[0], 7, 500) != 0;
    errors += route_synchronize() != 0; /* the stream may be this thread's own */
    return (void *)errors;
}

static void free_late(void *block)
{
    void *again = NULL;

    route_start(); /* the driver may have forgotten what was current on this thread */
    freed_in_destructor += route_free(block) == 0;
    freed_in_destructor += route_allocate(&again, 2000) == 0 && route_free(again) == 0;
}

/* The first round of destructors sets another key, so that a second one comes after all others. */
static void free_later(void *block)
{
    pthread_setspecific(late, block);
}

static void *leave_to_destructor(void *unused)
{
    void *block;

    route_start();
    if (route_allocate(&block, 1000) == 0)
        pthread_setspecific(early, block);
    return NULL;
}

static int run(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    void *result = NULL;

    if (pthread_create(&thread, NULL, body, argument) || pthread_join(thread, &result))
        return 1;
    return (int)(intptr_t)result;
}

int program_thread_end(const char *self, const char *route, const char *argument)
{
    int errors = 0, kept = 0;
    unsigned char byte;

    route_start();
    for (int i = 0; i < THREADS; i++)
        errors += run(hold_blocks, held[i]);
    for (int i = 0; i < THREADS; i++) {
        kept += route_read(&byte, held[i][0], 1) == 0 && byte == 7;
        for (int j = 0; j < BLOCKS; j++)
            errors += route_free(held[i][j]) != 0;
    }
    printf("errors: %d, kept: %d\n", errors, kept);
    pthread_key_create(&early, free_later);
    pthread_key_create(&late, free_late);
    for (int i = 0; i < THREADS; i++)
        errors += run(leave_to_destructor, NULL);
    printf("errors: %d, freed in destructors: %d\n", errors, freed_in_destructor);
    return errors != 0 || kept != THREADS || freed_in_destructor != 2 * THREADS;
}
