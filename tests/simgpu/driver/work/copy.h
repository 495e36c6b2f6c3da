/* SPDX-License-Identifier: MIT */
/*
 * Copies and fills: checking of requests, and queueing. Synchronous with the host
 * where cuda.h says so: copies from or to host memory when called without "Async", asynchronous
 * ones to pageable memory; copies within the device and fills of it never are. A pageable source of
 * an asynchronous copy is read before the call returns.
 */
#ifndef SIMGPU_DRIVER_WORK_COPY_H
#define SIMGPU_DRIVER_WORK_COPY_H

#include "tests/simgpu/driver/work/work.h"

/** The stream argument of a call, and whether the call is the asynchronous form. */
struct destination {
    CUstream stream;
    bool per_thread;
    bool async;
};

enum { COPY_TO_DEVICE = 1, COPY_FROM_DEVICE = 2 };

/** `device`: which of the two must be memory that the device knows. */
CUresult copy_linear(uintptr_t target, uintptr_t source, size_t bytes, unsigned device,
                     struct destination where);
CUresult copy_box(const CUDA_MEMCPY3D *box, struct destination where);
CUresult copy_flat_box(const CUDA_MEMCPY2D *box, struct destination where);
CUresult copy_peer_box(const CUDA_MEMCPY3D_PEER *box, struct destination where);
/** Between an array from a byte offset on, and linear memory. */
CUresult copy_array(CUarray array, size_t offset, uintptr_t linear, bool to_array, size_t bytes,
                    struct destination where);
CUresult copy_between_arrays(CUarray target, size_t target_offset, CUarray source,
                             size_t source_offset, size_t bytes, struct destination where);

/** Several linear copies; not on the legacy stream. The hints of their attributes change nothing.
 */
CUresult copy_batch(CUdeviceptr *targets, CUdeviceptr *sources, size_t *sizes, size_t count,
                    struct destination where);

CUresult fill_box(uintptr_t target, size_t pitch, unsigned value, unsigned element_bytes,
                  size_t width, size_t height, struct destination where);

/** The parts that graphs use as well: arguments to a unit's description. */
CUresult copy_resolve(const CUDA_MEMCPY3D *box, struct copy *ret);
CUresult fill_resolve(uintptr_t target, size_t pitch, unsigned value, unsigned element_bytes,
                      size_t width, size_t height, struct fill *ret);

#endif
