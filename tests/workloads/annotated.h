/* SPDX-License-Identifier: MIT */
/*
 * The parts of the workload `annotated`. One thread each.
 */
#ifndef WORKLOADS_ANNOTATED_H
#define WORKLOADS_ANNOTATED_H

#include <cuda.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)

#define CHECK(call)                                                                                \
    do {                                                                                           \
        CUresult check_result = (call);                                                            \
        if (check_result != CUDA_SUCCESS) {                                                        \
            fprintf(stderr, "%s:%d: %s: %d\n", __FILE__, __LINE__, #call, (int)check_result);      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/** Makes the device run out in the way that is named; prints the result of the last request. */
int annotated_oom(const char *way);

#endif
