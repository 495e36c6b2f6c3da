/* SPDX-License-Identifier: MIT */
/* Device memory by a call that no preload hooks. */
#ifndef TESTS_ENDTOEND_HIDDEN_H
#define TESTS_ENDTOEND_HIDDEN_H

#include <cuda.h>

CUresult hidden_allocate(CUdeviceptr *ret, size_t bytes);
CUresult hidden_free(CUdeviceptr pointer);

#endif
