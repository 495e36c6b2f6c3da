/* SPDX-License-Identifier: MIT */
/*
 * Memory that other code takes directly from the driver is missing from free memory, to the byte,
 * and returns. Whole segments of the driver make the figures exact. In between, no call of the
 * program moves what is free the wrong way, and nothing moves it between two questions, of either
 * family.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "route.h"
#include "program.h"
#include "tests/endtoend/programs/hidden.h"

#define SEGMENT ((size_t)2 << 20)
#define BLOCK   ((size_t)64 << 20)
#define BLOCKS  4
#define SLOTS   40
#define ROUNDS  600

static uint32_t state = 12345;
static int changed;

static uint32_t next_random(void)
{
    state = state * 1664525 + 1013904223;
    return state >> 8;
}

/* Free memory by the route's function, which must equal the driver's own result. */
static size_t available(size_t *ret_total)
{
    size_t free_bytes = 0, total = 0, again = 0, again_total = 0;

    if (route_memory_info(&free_bytes, &total) ||
        DRIVER(cuMemGetInfo)(&again, &again_total) != CUDA_SUCCESS)
        printf("error\n");
    changed += again != free_bytes || again_total != total || free_bytes > total;
    if (ret_total)
        *ret_total = total;
    return free_bytes;
}

static void say(const char *when)
{
    size_t total, free_bytes = available(&total);

    printf("%s: free %zu, total %zu\n", when, free_bytes, total);
}

static CUdeviceptr take(size_t bytes)
{
    CUdeviceptr pointer = 0;
    CUresult result = hidden_allocate(&pointer, bytes);

    if (result == CUDA_ERROR_NOT_FOUND)
        route_skip("this driver's symbols cannot be read");
    if (result != CUDA_SUCCESS)
        printf("taken: %d\n", (int)result);
    return pointer;
}

static void give(CUdeviceptr pointer)
{
    if (hidden_free(pointer) != CUDA_SUCCESS)
        printf("not given back\n");
}

/* The program's blocks and the others' in every order. */
static void in_turn(void)
{
    void *blocks[BLOCKS];
    CUdeviceptr before = take(BLOCK), between;

    say("taken");
    for (int i = 0; i < BLOCKS; i++)
        route_report("allocate", route_allocate(&blocks[i], BLOCK));
    say("allocated");
    between = take(3 * BLOCK);
    say("taken");
    for (int i = 0; i < BLOCKS; i += 2)
        route_report("free", route_free(blocks[i]));
    say("half freed");
    give(before);
    say("given back");
    for (int i = 0; i < BLOCKS; i += 2)
        route_report("allocate", route_allocate(&blocks[i], BLOCK));
    say("allocated");
    for (int i = 0; i < BLOCKS; i++)
        route_report("free", route_free(blocks[i]));
    say("freed");
    give(between);
    say("given back");
}

/* Whether a step changed free memory in the wrong direction. */
static bool is_wrong(bool is_taking, size_t before, size_t now)
{
    return is_taking ? now > before : now < before;
}

static void mixed(void)
{
    void *blocks[SLOTS] = {0};
    CUdeviceptr others[SLOTS] = {0};
    int wrong = 0, errors = 0;
    size_t before = available(NULL);

    for (int i = 0; i < ROUNDS; i++) {
        int slot = (int)(next_random() % SLOTS);
        bool is_other = next_random() % 4 == 0;
        bool is_taking = is_other ? !others[slot] : !blocks[slot];
        size_t bytes = 1 + next_random() % ((size_t)1 << (6 + next_random() % 17));

        if (is_other && is_taking) {
            others[slot] = take((bytes + SEGMENT - 1) / SEGMENT * SEGMENT);
        } else if (is_other) {
            give(others[slot]);
            others[slot] = 0;
        } else if (is_taking) {
            errors += route_allocate(&blocks[slot], bytes) != 0;
        } else {
            errors += route_free(blocks[slot]) != 0;
            blocks[slot] = NULL;
        }
        size_t now = available(NULL);
        wrong += is_wrong(is_taking, before, now);
        before = now;
    }
    for (int i = 0; i < SLOTS; i++) {
        errors += blocks[i] && route_free(blocks[i]) != 0;
        if (others[i])
            give(others[i]);
    }
    printf("moved the wrong way: %d, errors: %d\n", wrong, errors);
}

int program_foreign(const char *self, const char *route, const char *argument)
{
    route_start();
    route_free(NULL);
    say("first");
    in_turn();
    mixed();
    printf("differed between two questions: %d\n", changed);
    return 0;
}
