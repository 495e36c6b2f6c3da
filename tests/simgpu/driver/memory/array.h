/* SPDX-License-Identifier: MIT */
/*
 * Arrays and mipmapped arrays: device memory in rows, addressed by handle only.
 */
#ifndef SIMGPU_DRIVER_MEMORY_ARRAY_H
#define SIMGPU_DRIVER_MEMORY_ARRAY_H

#include "tests/simgpu/driver/memory/memory.h"

struct CUarray_st {
    struct handle handle;
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    struct allocation *memory;
    size_t pitch; /* bytes of a row */
    size_t rows;
    size_t slice;
    size_t layers;
    bool of_mipmap; /* its owner destroys it */
};

#endif
