/* SPDX-License-Identifier: MIT */
/*
 * Zeroed memory straight from the kernel, committed as it is touched. The writer must not enter
 * the malloc of the traced program, and its threads may have small stacks. So anything larger than
 * a few hundred bytes and rarely needed is mapped while in use.
 */
#ifndef CUPTI_BASE_PAGES_H
#define CUPTI_BASE_PAGES_H

#include <stddef.h>
#include <sys/mman.h>

/** NULL: there is none. */
static inline void *pages_map(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

/** NULL is accepted. */
static inline void pages_unmap(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, bytes);
}

#endif
