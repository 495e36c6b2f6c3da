/* SPDX-License-Identifier: MIT */
/*
 * Launch configurations: the stack behind <<<...>>>, and the checks and forms launches share.
 *
 * kernel<<<grid, block>>>(arguments) compiles to a push, the evaluation of the arguments and a pop
 * in the stub. The arguments may launch kernels themselves, hence a stack; it is the thread's own.
 */
#include "tests/simgpu/runtime/module/launch.h"

#include <stdbool.h>
#include <stddef.h>

/* Launches nested inside the arguments of launches; the push past this fails, and is not launched.
 */
enum { CONFIGURATIONS_MAX = 64 };

struct configuration {
    dim3 grid;
    dim3 block;
    size_t shared_bytes;
    cudaStream_t stream;
};

static _Thread_local struct configuration configurations[CONFIGURATIONS_MAX];
static _Thread_local int configuration_count;

RUNTIME_PUBLIC unsigned __cudaPushCallConfiguration(dim3 gridDim, dim3 blockDim, size_t sharedMem,
                                                    struct CUstream_st *stream);
RUNTIME_PUBLIC cudaError_t __cudaPopCallConfiguration(dim3 *gridDim, dim3 *blockDim,
                                                      size_t *sharedMem, void *stream);

/* Returns 0 for the stub to be called, anything else to skip it. */
unsigned __cudaPushCallConfiguration(dim3 gridDim, dim3 blockDim, size_t sharedMem,
                                     struct CUstream_st *stream)
{
    if (configuration_count == CONFIGURATIONS_MAX)
        return (unsigned)error_keep(cudaErrorLaunchOutOfResources);
    configurations[configuration_count++] = (struct configuration){gridDim, blockDim, sharedMem,
                                                                   stream};
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *gridDim, dim3 *blockDim, size_t *sharedMem,
                                       void *stream)
{
    const struct configuration *top;

    if (configuration_count == 0)
        return error_keep(cudaErrorMissingConfiguration);
    top = &configurations[--configuration_count];
    *gridDim = top->grid;
    *blockDim = top->block;
    *sharedMem = top->shared_bytes;
    *(cudaStream_t *)stream = top->stream;
    return cudaSuccess;
}

CUlaunchConfig launch_config(const cudaLaunchConfig_t *config)
{
    return (CUlaunchConfig){
        .gridDimX = config->gridDim.x,
        .gridDimY = config->gridDim.y,
        .gridDimZ = config->gridDim.z,
        .blockDimX = config->blockDim.x,
        .blockDimY = config->blockDim.y,
        .blockDimZ = config->blockDim.z,
        .sharedMemBytes = (unsigned)config->dynamicSmemBytes,
        .hStream = config->stream,
        .attrs = (CUlaunchAttribute *)config->attrs,
        .numAttrs = config->numAttrs,
    };
}

static bool within_limit(unsigned long long value, CUdevice_attribute limit, int device)
{
    int most = 0;

    return value > 0 && (DRIVER(cuDeviceGetAttribute)(&most, limit, device) != CUDA_SUCCESS ||
                         value <= (unsigned long long)most);
}

static bool dimensions_fit(dim3 grid, dim3 block)
{
    int device = 0;

    if (context_device(&device) != cudaSuccess)
        return true;
    return within_limit(grid.x, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, device) &&
           within_limit(grid.y, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, device) &&
           within_limit(grid.z, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, device) &&
           within_limit(block.x, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, device) &&
           within_limit(block.y, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, device) &&
           within_limit(block.z, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, device) &&
           within_limit((unsigned long long)block.x * block.y * block.z,
                        CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, device);
}

cudaError_t launch_result(CUresult result, dim3 grid, dim3 block)
{
    if (result == CUDA_ERROR_INVALID_VALUE && !dimensions_fit(grid, block))
        return cudaErrorInvalidConfiguration;
    return error_from(result);
}
