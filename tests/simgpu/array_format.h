/* SPDX-License-Identifier: MIT */
/*
 * Sizes of the elements of arrays, for driver and runtime.
 *
 * Threading: plain data.
 */
#ifndef SIMGPU_ARRAY_FORMAT_H
#define SIMGPU_ARRAY_FORMAT_H

#include <stddef.h>

#include <cuda.h>

/** 0: not a format that is simulated. */
static inline size_t format_bytes(CUarray_format format)
{
    switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8: return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF: return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT: return 4;
    default: return 0;
    }
}

#endif
