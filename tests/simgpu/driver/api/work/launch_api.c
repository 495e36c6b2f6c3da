/* SPDX-License-Identifier: MIT */
/*
 * Entry points of launches. Compiled twice (api.h).
 */
#include "tests/simgpu/driver/base/api.h"

#include "tests/simgpu/driver/work/launch.h"

#define LAUNCH_LOG "stream=0x%llx", HEX(hStream)

CUresult CUDAAPI cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY,
                                unsigned int gridDimZ, unsigned int blockDimX,
                                unsigned int blockDimY, unsigned int blockDimZ,
                                unsigned int sharedMemBytes, CUstream hStream, void **kernelParams,
                                void **extra)
{
    const unsigned grid[3] = {gridDimX, gridDimY, gridDimZ};
    const unsigned block[3] = {blockDimX, blockDimY, blockDimZ};

    CALL(cuLaunchKernel,
         launch_submit(f, grid, block, sharedMemBytes, hStream, PER_THREAD, kernelParams, extra),
         LAUNCH_LOG);
}

CUresult CUDAAPI cuLaunchCooperativeKernel(CUfunction f, unsigned int gridDimX,
                                           unsigned int gridDimY, unsigned int gridDimZ,
                                           unsigned int blockDimX, unsigned int blockDimY,
                                           unsigned int blockDimZ, unsigned int sharedMemBytes,
                                           CUstream hStream, void **kernelParams)
{
    const unsigned grid[3] = {gridDimX, gridDimY, gridDimZ};
    const unsigned block[3] = {blockDimX, blockDimY, blockDimZ};

    CALL(cuLaunchCooperativeKernel,
         launch_submit(f, grid, block, sharedMemBytes, hStream, PER_THREAD, kernelParams, NULL),
         LAUNCH_LOG);
}

static CUresult launch_config(const CUlaunchConfig *config, CUfunction f, void **params,
                              void **extra)
{
    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    const unsigned grid[3] = {config->gridDimX, config->gridDimY, config->gridDimZ};
    const unsigned block[3] = {config->blockDimX, config->blockDimY, config->blockDimZ};
    return launch_submit(f, grid, block, config->sharedMemBytes, config->hStream, PER_THREAD,
                         params, extra);
}

CUresult CUDAAPI cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **kernelParams,
                                  void **extra)
{
    CALL(cuLaunchKernelEx, launch_config(config, f, kernelParams, extra));
}
