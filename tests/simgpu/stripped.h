/* SPDX-License-Identifier: MIT */
/*
 * Finds the entry points of NVIDIA's runtime inside a module without function names.
 *
 * Reads only the module's file, which may be any file. Threading: not thread-safe.
 */
#ifndef TESTS_SIMGPU_STRIPPED_H
#define TESTS_SIMGPU_STRIPPED_H

#include <stddef.h>
#include <stdint.h>

struct inside_function {
    const char *name; /* in the file */
    uintptr_t value;  /* address in the module, without its base */
};

/** How many were found, at most `capacity`; 0: no runtime of NVIDIA's, or one that has kernels to
 * register. */
size_t stripped_read(const char *file, size_t bytes, size_t capacity,
                     struct inside_function *ret_functions);

#endif
