/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of the simulated runtime: checks that print the result and continue, and the
 * simulated device's controls, found the way a program would find them.
 *
 * These programs are written against cuda_runtime_api.h; only what uses the controls needs the
 * simulated device. Single-threaded unless a test says so.
 */
#ifndef SIMGPU_TESTS_RUNTIME_SUPPORT_H
#define SIMGPU_TESTS_RUNTIME_SUPPORT_H

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_GOES_ON
#define CHECK_NAME(result) cudaGetErrorName((cudaError_t)(result))
#include "tests/check.h"

/** A control of the simulated device; exits with 77 where there is none. */
static inline void *check_control(const char *name)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    void *control = library ? dlsym(library, name) : NULL;

    if (!control) {
        printf("skipped: %s is not the simulated device's\n", name);
        exit(77);
    }
    return control;
}

#endif
