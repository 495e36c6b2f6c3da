/* SPDX-License-Identifier: MIT */
/*
 * Descriptions of copies, from the runtime's parameters to the driver's. Pure translation: the only
 * question asked of the driver is an array's element size. Thread-safe.
 */
#ifndef SIMGPU_RUNTIME_COPY_H
#define SIMGPU_RUNTIME_COPY_H

#include "tests/simgpu/runtime/base/runtime.h"

/** Where a copy of this kind starts and ends: cudaErrorInvalidMemcpyDirection for no known kind. */
cudaError_t copy_kind_types(enum cudaMemcpyKind kind, CUmemorytype *ret_dst, CUmemorytype *ret_src);

/** Bytes of one element of an array. */
cudaError_t copy_array_element(cudaArray_const_t array, size_t *ret_bytes);

/** Bytes of one row of an array. */
cudaError_t copy_array_row(cudaArray_const_t array, size_t *ret_bytes);

/** One side of a two-dimensional copy: linear memory, or an array when `array` is set. */
struct copy_side {
    const void *pointer;
    size_t pitch_bytes;
    cudaArray_const_t array;
    size_t x_bytes; /* offset within a row */
    size_t y;       /* offset in rows */
};

/** A two-dimensional copy; cudaErrorInvalidPitchValue when a pitch is shorter than a row. */
cudaError_t copy_describe_2d(struct copy_side dst, struct copy_side src, size_t width_bytes,
                             size_t height, enum cudaMemcpyKind kind, CUDA_MEMCPY2D *ret_copy);

/** A three-dimensional copy. */
cudaError_t copy_describe_3d(const struct cudaMemcpy3DParms *parameters, CUDA_MEMCPY3D *ret_copy);

/** A three-dimensional copy between devices. */
cudaError_t copy_describe_3d_peer(const struct cudaMemcpy3DPeerParms *parameters,
                                  CUDA_MEMCPY3D_PEER *ret_copy);

/** The way back, for cudaGraphMemcpyNodeGetParams. */
cudaError_t copy_recall_3d(const CUDA_MEMCPY3D *copy, struct cudaMemcpy3DParms *ret_parameters);

/** A straight run of bytes as a three-dimensional copy, for graph nodes. */
cudaError_t copy_describe_1d(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                             CUDA_MEMCPY3D *ret_copy);

#endif
