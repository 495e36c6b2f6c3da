/* SPDX-License-Identifier: MIT */
/*
 * The codecs' kernels as one unit: nvcc makes the image of it that is embedded, the host's compiler
 * the functions of the same kernels for the host. Apart from kernels/device_code.c, which the
 * preload has, too.
 */
#include "kernels/codec/lossless_kernels.cuh"
#include "kernels/codec/quad_kernels.cuh"
#include "kernels/codec/rotated_kernels.cuh"
#include "kernels/codec/scaled_kernels.cuh"
