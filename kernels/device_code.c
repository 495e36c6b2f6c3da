/* SPDX-License-Identifier: MIT */
/*
 * All kernels as one unit: nvcc compiles it to the embedded image, the host's compiler to the same
 * kernels as functions for the host.
 */
#include "kernels/copy/copy_kernels.cuh"
#include "kernels/fill/fill_kernels.cuh"
