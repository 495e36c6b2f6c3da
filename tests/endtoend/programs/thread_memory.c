/* SPDX-License-Identifier: MIT */
/* A library with as much thread-local memory as an allocator, at a fixed place of each thread. */
#include <stddef.h>

size_t thread_memory_used(void);

static __thread __attribute__((tls_model("initial-exec"))) char memory[3000];

__attribute__((visibility("default"))) size_t thread_memory_used(void)
{
    memory[0]++;
    return sizeof memory;
}
