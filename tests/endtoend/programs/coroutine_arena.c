/* SPDX-License-Identifier: MIT */
/*
 * Coroutines whose stacks lie below a thread's own stack, in the same mapping, with guard pages put
 * in between after the thread's first calls. A function without call-frame information keeps the
 * address of a guard page in the frame pointer.
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_BYTES (256 << 10)
#define GUARD_BYTES 4096
#define COROUTINES  6

static char *arena;
static ucontext_t thread_context, coroutine[COROUTINES];

#if defined(__x86_64__)
cudaError_t odd_malloc(void **block, size_t bytes, void *frame_pointer);
__asm__(".text\n.globl odd_malloc\n.type odd_malloc,@function\n"
        "odd_malloc:\n pushq %rbp\n movq %rdx, %rbp\n call cudaMalloc@PLT\n popq %rbp\n ret\n"
        ".size odd_malloc, . - odd_malloc\n");
#else
static cudaError_t odd_malloc(void **block, size_t bytes, void *frame_pointer)
{
    return cudaMalloc(block, bytes);
}
#endif

static char *guard_of(int i)
{
    return arena + (i + 1) * STACK_BYTES - GUARD_BYTES;
}

static void coroutine_run(int i)
{
    void *block = NULL;
    cudaError_t error = odd_malloc(&block, 1000 * (size_t)(i + 1), guard_of(i) + 64);

    printf("%d: %d %d\n", i, (int)error, (int)cudaFree(block));
    swapcontext(&coroutine[i], &thread_context);
}

static void *thread_run(void *unused)
{
    void *block;

    cudaMalloc(&block, 100);
    cudaFree(block);
    for (int i = 0; i < COROUTINES; i++)
        mprotect(guard_of(i), GUARD_BYTES, PROT_NONE);
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&coroutine[i]);
        coroutine[i].uc_stack.ss_sp = arena + i * STACK_BYTES;
        coroutine[i].uc_stack.ss_size = STACK_BYTES - 2 * GUARD_BYTES;
        coroutine[i].uc_link = &thread_context;
        makecontext(&coroutine[i], (void (*)(void))coroutine_run, 1, i);
        swapcontext(&thread_context, &coroutine[i]);
    }
    return NULL;
}

int main(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    arena = mmap(NULL, STACK_BYTES * (COROUTINES + 2), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_init(&attributes);
    if (arena == MAP_FAILED ||
        pthread_attr_setstack(&attributes, arena + COROUTINES * STACK_BYTES, 2 * STACK_BYTES) ||
        pthread_create(&thread, &attributes, thread_run, NULL))
        return 2;
    pthread_join(thread, NULL);
    puts("end");
    return 0;
}
