/* SPDX-License-Identifier: MIT */
/*
 * The codecs' kernels as one unit: nvcc compiles it to the embedded image, the host's compiler to
 * the same kernels as functions for the host. Separate from kernels/device_code.c, which the
 * preload contains, too.
 */
#include "kernels/codec/lossless_kernels.cuh"
#include "kernels/codec/quad_kernels.cuh"
#include "kernels/codec/rotated_kernels.cuh"
#include "kernels/codec/scaled_kernels.cuh"
