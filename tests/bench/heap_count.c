/* SPDX-License-Identifier: MIT */
/*
 * Defines malloc and its family in the program, so every library of the process calls them, whether
 * linked or loaded later. Each counts the call and forwards it to glibc's.
 */
#include "tests/bench/heap_count.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void __libc_free(void *memory);

static atomic_ullong calls;

static void count(void)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

uint64_t heap_calls(void)
{
    return atomic_load(&calls);
}

void *malloc(size_t bytes)
{
    count();
    return __libc_malloc(bytes);
}

void *calloc(size_t items, size_t bytes)
{
    count();
    return __libc_calloc(items, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    count();
    return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t bytes)
{
    count();
    *ret_memory = __libc_memalign(alignment, bytes);
    return *ret_memory ? 0 : ENOMEM;
}

void free(void *memory)
{
    count();
    __libc_free(memory);
}
