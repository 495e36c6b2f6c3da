/* SPDX-License-Identifier: MIT */
/* Blocks of many sizes do not overlap and keep their contents until they are freed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"
#include "program.h"

#define BLOCKS 100
#define ROUNDS 20

struct block {
    unsigned char *device;
    size_t bytes;
    unsigned char value;
};

static struct block blocks[BLOCKS];
static unsigned char *host;
static uint32_t state = 12345;

static uint32_t next_random(void)
{
    state = state * 1664525 + 1013904223;
    return state >> 8;
}

static int fill(struct block *block, unsigned char value)
{
    block->bytes = 1 + next_random() % ((size_t)1 << (6 + next_random() % 16));
    block->value = value;
    memset(host, value, block->bytes);
    return route_allocate((void **)&block->device, block->bytes) ||
           route_write(block->device, host, block->bytes);
}

static int verify(struct block *block)
{
    if (route_read(host, block->device, block->bytes))
        return 1;
    return host[0] != block->value || memcmp(host, host + 1, block->bytes - 1) != 0;
}

/* Contents of a new block: undefined, unless an option defines them. */
static int fresh(void)
{
    unsigned char first[1000], last[1000];
    unsigned char *pointer;

    for (int round = 0; round < 3; round++) {
        route_report("allocate", route_allocate((void **)&pointer, 100000));
        route_report("read", route_read(first, pointer, sizeof(first)));
        route_report("read", route_read(last, pointer + 99000, sizeof(last)));
        printf("holds: %d %d\n", first[0], last[999]);
        route_report("fill", route_fill(pointer, 17, 100000));
        route_report("free", route_free(pointer));
    }
    return 0;
}

int program_contents(const char *self, const char *route, const char *argument)
{
    int errors = 0, wrong = 0;

    host = malloc((size_t)4 << 20);
    route_start();
    if (argument && strcmp(argument, "fresh") == 0)
        return fresh();
    for (int i = 0; i < BLOCKS; i++)
        errors += fill(&blocks[i], (unsigned char)i);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            struct block *block = &blocks[next_random() % BLOCKS];

            wrong += verify(block);
            errors += route_free(block->device) != 0;
            errors += fill(block, (unsigned char)(block->value + 101));
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        wrong += verify(&blocks[i]);
        errors += route_free(blocks[i].device) != 0;
    }
    printf("errors: %d, wrong: %d\n", errors, wrong);
    free(host);
    return errors != 0 || wrong != 0;
}
