/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the simulated runtime share: checks that say what they saw and go on, and the
 * simulated device's controls, found the way a program would find them.
 *
 * These programs are written against cuda_runtime_api.h; only what uses the controls needs the
 * simulated device. Single-threaded unless a test says so.
 */
#ifndef SIMGPU_TESTS_RUNTIME_CHECK_H
#define SIMGPU_TESTS_RUNTIME_CHECK_H

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failures;

/** The call must return this code. */
#define EXPECT(code, call)                                                                         \
    do {                                                                                           \
        cudaError_t expect_got = (call);                                                           \
        if (expect_got != (code)) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s, expected %s\n", __FILE__, __LINE__, #call,             \
                    cudaGetErrorName(expect_got), cudaGetErrorName(code));                         \
            check_failures++;                                                                      \
        }                                                                                          \
    } while (0)

#define OK(call) EXPECT(cudaSuccess, call)

/** The condition must hold. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            check_failures++;                                                                      \
        }                                                                                          \
    } while (0)

/** The two values, cast to long long, must be equal. */
#define EQUAL(left, right)                                                                         \
    do {                                                                                           \
        long long equal_left = (long long)(left), equal_right = (long long)(right);                \
        if (equal_left != equal_right) {                                                           \
            fprintf(stderr, "%s:%d: %s is %lld, %s is %lld\n", __FILE__, __LINE__, #left,          \
                    equal_left, #right, equal_right);                                              \
            check_failures++;                                                                      \
        }                                                                                          \
    } while (0)

/** The exit status of the test. */
static inline int check_done(void)
{
    if (check_failures)
        fprintf(stderr, "%d checks failed\n", check_failures);
    return check_failures ? 1 : 0;
}

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
