/* SPDX-License-Identifier: MIT */
/*
 * A library that hands out device memory, for usual.cc.
 */
#ifndef TESTS_ENDTOEND_USUAL_H
#define TESTS_ENDTOEND_USUAL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *gpu_alloc(size_t bytes);
void gpu_free(void *block);

#ifdef __cplusplus
}
#endif

#endif
