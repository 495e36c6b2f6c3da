/* SPDX-License-Identifier: MIT */
/*
 * Launching kernels. A kernel handle goes to the driver's launch functions as it is: they take a
 * CUkernel cast to CUfunction and use it in the current context. Compiled twice: see runtime.h.
 */
#include "tests/simgpu/runtime/module/launch.h"

#include <stddef.h>

#ifdef RUNTIME_PER_THREAD
#define __cudaLaunchKernel __cudaLaunchKernel_ptsz
#endif

RUNTIME_PUBLIC cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 gridDim, dim3 blockDim,
                                              void **args, size_t sharedMem, cudaStream_t stream);

static cudaError_t launch(CUkernel kernel, dim3 grid, dim3 block, void **arguments,
                          size_t shared_bytes, cudaStream_t stream)
{
    CUresult result = STREAM_DRIVER(cuLaunchKernel)(
        (CUfunction)kernel, grid.x, grid.y, grid.z, block.x, block.y, block.z,
        (unsigned)shared_bytes, stream, arguments, NULL);

    return launch_result(result, grid, block);
}

cudaError_t cudaLaunchKernel(const void *func, dim3 gridDim, dim3 blockDim, void **args,
                             size_t sharedMem, cudaStream_t stream)
{
    CUkernel kernel = NULL;
    cudaError_t status = context_ready() ?: image_kernel(func, &kernel);

    return error_keep(status ?: launch(kernel, gridDim, blockDim, args, sharedMem, stream));
}

/* The stub of a __global__ function; its handle comes from __cudaGetKernel, NULL if that failed. */
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 gridDim, dim3 blockDim, void **args,
                               size_t sharedMem, cudaStream_t stream)
{
    cudaError_t status = context_ready();

    if (status == cudaSuccess && !kernel)
        status = cudaErrorInvalidDeviceFunction;
    return error_keep(status
                          ?: launch((CUkernel)kernel, gridDim, blockDim, args, sharedMem, stream));
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *func, void **args)
{
    CUkernel kernel = NULL;
    CUlaunchConfig driver_config;
    CUresult result;
    cudaError_t status = config ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = image_kernel(func, &kernel);
    if (status != cudaSuccess)
        return error_keep(status);
    driver_config = launch_config(config);
    result = STREAM_DRIVER(cuLaunchKernelEx)(&driver_config, (CUfunction)kernel, args, NULL);
    return error_keep(launch_result(result, config->gridDim, config->blockDim));
}

cudaError_t cudaLaunchCooperativeKernel(const void *func, dim3 gridDim, dim3 blockDim, void **args,
                                        size_t sharedMem, cudaStream_t stream)
{
    CUkernel kernel = NULL;
    CUresult result;
    cudaError_t status = context_ready() ?: image_kernel(func, &kernel);

    if (status != cudaSuccess)
        return error_keep(status);
    result = STREAM_DRIVER(cuLaunchCooperativeKernel)((CUfunction)kernel, gridDim.x, gridDim.y,
                                                      gridDim.z, blockDim.x, blockDim.y, blockDim.z,
                                                      (unsigned)sharedMem, stream, args);
    return error_keep(launch_result(result, gridDim, blockDim));
}
