/* SPDX-License-Identifier: MIT */
/*
 * All kernels as one unit: nvcc makes the image of it that is embedded, the host's compiler the
 * functions of the same kernels for the host.
 */
#include "kernels/copy/copy_kernels.cuh"
#include "kernels/fill/fill_kernels.cuh"
