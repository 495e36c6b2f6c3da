/* SPDX-License-Identifier: MIT */
/*
 * The registered images of nvcc's programs: host addresses to device kernels and variables.
 *
 * Threading: every function may be called from any thread.
 */
#ifndef SIMGPU_RUNTIME_IMAGE_H
#define SIMGPU_RUNTIME_IMAGE_H

#include "tests/simgpu/runtime/base/runtime.h"

/**
 * The kernel a program means by `function`: the address of a __global__ function, or a kernel
 * handle the runtime gave out. cudaErrorInvalidDeviceFunction for anything else. Needs
 * driver_ready().
 */
cudaError_t image_kernel(const void *function, CUkernel *ret_kernel);

/** Makes a kernel handle known to image_kernel(); idempotent. */
cudaError_t image_kernel_remember(CUkernel kernel);

/** The host function a kernel was registered for; the handle itself where there is none. */
void *image_kernel_symbol(CUkernel kernel);

/** The same for a kernel's function in the current context. Needs context_ready(). */
void *image_function_symbol(CUfunction function);

/**
 * Address and size of a __device__, __constant__ or __managed__ variable in the current context.
 * cudaErrorInvalidSymbol for an unregistered address. Needs context_ready().
 */
cudaError_t image_variable(const void *symbol, CUdeviceptr *ret_address, size_t *ret_bytes);

/** The part of a variable a copy may touch: `count` bytes from `offset` on, or
 * cudaErrorInvalidValue. */
cudaError_t image_variable_range(const void *symbol, size_t offset, size_t count,
                                 CUdeviceptr *ret_address);

#endif
