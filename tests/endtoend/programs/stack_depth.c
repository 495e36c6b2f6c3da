/* SPDX-License-Identifier: MIT */
/*
 * How much of a thread's stack the CUDA calls take: below the frame that makes them, the stack is
 * painted before each call; overwritten paint was used by the call.
 *
 * usage: stack_depth first|later
 * Output: a line "CALL BYTES ERROR" for each call.
 */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_BYTES (256 << 10)
#define PAINT       UINT64_C(0x5aa55aa5a55aa55a)
#define CLEARANCE   64 /* words that are the painter's own */
#define BLOCKS      40
#define RESULTS     256

static uint64_t *stack;
static int is_first;

static struct result {
    const char *name;
    size_t used;
    cudaError_t error;
} results[RESULTS];
static int result_count;

struct call {
    const char *name;
    void **block;
    size_t bytes; /* 0: free */
};

__attribute__((noinline)) static size_t call_measure(const struct call *call, cudaError_t *ret)
{
    volatile uint64_t *top = (volatile uint64_t *)__builtin_frame_address(0) - CLEARANCE;

    for (volatile uint64_t *word = stack; word < top; word++)
        *word = PAINT;
    *ret = call->bytes ? cudaMalloc(call->block, call->bytes) : cudaFree(*call->block);
    for (volatile uint64_t *word = stack; word < top; word++)
        if (*word != PAINT)
            return (size_t)((char *)__builtin_frame_address(0) - (char *)word);
    return CLEARANCE * sizeof *stack;
}

/** Kept until the thread has ended: printing takes more stack than anything that is measured. */
static void call_note(const char *name, void **block, size_t bytes)
{
    const struct call call = {name, block, bytes};
    struct result *result = &results[result_count++];

    result->name = name;
    result->used = call_measure(&call, &result->error);
}

/** The same call again and again from the same place: from the second time on the pool has it. */
static void hits(size_t bytes)
{
    void *block = NULL;

    for (int i = 0; i < 3; i++) {
        call_note(i ? "malloc_hit" : "malloc_new", &block, bytes);
        call_note(i ? "free_hit" : "free_new", &block, 0);
    }
}

static void *run(void *unused)
{
    static void *block[BLOCKS];

    if (is_first) {
        call_note("first", &block[0], 4096);
        call_note("first", &block[0], 0);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        call_note("malloc_new", &block[i], ((size_t)1 << (8 + i % 20)) + i);
    for (size_t i = 0; i < BLOCKS; i++)
        call_note("free_new", &block[i], 0);
    hits(1000);
    hits(100000);
    hits(10 << 20);
    usleep(1100000); /* figures are due */
    call_note("malloc_due", &block[0], 1000);
    usleep(1100000);
    call_note("free_due", &block[0], 0);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *block;

    is_first = argc > 1 && !strcmp(argv[1], "first");
    cuInit(0); /* the driver's own first call is not what is measured */
    if (!is_first && (cudaMalloc(&block, 1 << 20) || cudaFree(block)))
        return 1;
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_init(&attributes);
    if (stack == MAP_FAILED || pthread_attr_setstack(&attributes, stack, STACK_BYTES) ||
        pthread_create(&thread, &attributes, run, NULL))
        return 1;
    pthread_join(thread, NULL);
    for (int i = 0; i < result_count; i++)
        printf("%s %zu %d\n", results[i].name, results[i].used, (int)results[i].error);
    return 0;
}
