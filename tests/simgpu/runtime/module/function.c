/* SPDX-License-Identifier: MIT */
/*
 * Queries about kernels: handles, attributes, occupancy. They are made for the kernel, not for its
 * function in one context, so they apply to the thread's device.
 */
#include "tests/simgpu/runtime/module/launch.h"

#include <stddef.h>

RUNTIME_PUBLIC cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function);

/* The kernel behind `function`, with the driver initialised. */
static cudaError_t kernel_find(const void *function, CUkernel *ret_kernel)
{
    return driver_ready() ?: image_kernel(function, ret_kernel);
}

/* Called once for each kernel a program launches, before its first launch. */
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function)
{
    return error_keep(kernel_find(function, (CUkernel *)kernel));
}

cudaError_t cudaGetKernel(cudaKernel_t *kernelPtr, const void *entryFuncAddr)
{
    return error_keep(kernelPtr ? kernel_find(entryFuncAddr, (CUkernel *)kernelPtr)
                                : cudaErrorInvalidValue);
}

cudaError_t cudaGetFuncBySymbol(cudaFunction_t *functionPtr, const void *symbolPtr)
{
    CUkernel kernel = NULL;
    cudaError_t status = context_ready() ?: kernel_find(symbolPtr, &kernel);

    return error_keep(status ?: error_from(DRIVER(cuKernelGetFunction)(functionPtr, kernel)));
}

static int kernel_attribute(CUkernel kernel, CUfunction_attribute attribute, int device,
                            cudaError_t *status)
{
    int value = 0;

    if (*status == cudaSuccess)
        *status = error_from(DRIVER(cuKernelGetAttribute)(&value, attribute, kernel, device));
    return value;
}

static cudaError_t attributes_fill(CUkernel kernel, int device,
                                   struct cudaFuncAttributes *ret_attributes)
{
    struct cudaFuncAttributes filled = {0};
    cudaError_t status = cudaSuccess;

#define ATTRIBUTE(field, name)                                                                     \
    filled.field = (__typeof__(filled.field))kernel_attribute(kernel, CU_FUNC_ATTRIBUTE_##name,    \
                                                              device, &status)
    ATTRIBUTE(sharedSizeBytes, SHARED_SIZE_BYTES);
    ATTRIBUTE(constSizeBytes, CONST_SIZE_BYTES);
    ATTRIBUTE(localSizeBytes, LOCAL_SIZE_BYTES);
    ATTRIBUTE(maxThreadsPerBlock, MAX_THREADS_PER_BLOCK);
    ATTRIBUTE(numRegs, NUM_REGS);
    ATTRIBUTE(ptxVersion, PTX_VERSION);
    ATTRIBUTE(binaryVersion, BINARY_VERSION);
    ATTRIBUTE(cacheModeCA, CACHE_MODE_CA);
    ATTRIBUTE(maxDynamicSharedSizeBytes, MAX_DYNAMIC_SHARED_SIZE_BYTES);
    ATTRIBUTE(preferredShmemCarveout, PREFERRED_SHARED_MEMORY_CARVEOUT);
    ATTRIBUTE(clusterDimMustBeSet, CLUSTER_SIZE_MUST_BE_SET);
    ATTRIBUTE(requiredClusterWidth, REQUIRED_CLUSTER_WIDTH);
    ATTRIBUTE(requiredClusterHeight, REQUIRED_CLUSTER_HEIGHT);
    ATTRIBUTE(requiredClusterDepth, REQUIRED_CLUSTER_DEPTH);
    ATTRIBUTE(clusterSchedulingPolicyPreference, CLUSTER_SCHEDULING_POLICY_PREFERENCE);
    ATTRIBUTE(nonPortableClusterSizeAllowed, NON_PORTABLE_CLUSTER_SIZE_ALLOWED);
#undef ATTRIBUTE
    if (status == cudaSuccess)
        *ret_attributes = filled;
    return status;
}

/* A kernel and the device its attributes are asked for. */
static cudaError_t kernel_on_device(const void *function, CUkernel *ret_kernel, int *ret_device)
{
    return context_ready() ?: kernel_find(function, ret_kernel) ?: context_device(ret_device);
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attr, const void *func)
{
    CUkernel kernel = NULL;
    int device = 0;
    cudaError_t status = attr ? kernel_on_device(func, &kernel, &device) : cudaErrorInvalidValue;

    return error_keep(status ?: attributes_fill(kernel, device, attr));
}

cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr, int value)
{
    CUkernel kernel = NULL;
    int device = 0;
    cudaError_t status = kernel_on_device(func, &kernel, &device);

    return error_keep(status
                          ?: error_from(DRIVER(cuKernelSetAttribute)((CUfunction_attribute)attr,
                                                                     value, kernel, device)));
}

cudaError_t cudaFuncSetCacheConfig(const void *func, enum cudaFuncCache cacheConfig)
{
    CUkernel kernel = NULL;
    int device = 0;
    cudaError_t status = kernel_on_device(func, &kernel, &device);

    return error_keep(status
                          ?: error_from(DRIVER(cuKernelSetCacheConfig)(
                                 kernel, (CUfunc_cache)cacheConfig, device)));
}

cudaError_t cudaFuncSetSharedMemConfig(const void *func, enum cudaSharedMemConfig config)
{
    CUkernel kernel = NULL;
    CUfunction function = NULL;
    cudaError_t status = context_ready() ?: kernel_find(func, &kernel);

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuKernelGetFunction)(&function, kernel));
    return error_keep(
        status ?: error_from(DRIVER(cuFuncSetSharedMemConfig)(function, (CUsharedconfig)config)));
}

cudaError_t cudaFuncGetName(const char **name, const void *func)
{
    CUkernel kernel = NULL;
    cudaError_t status = kernel_find(func, &kernel);

    return error_keep(status ?: error_from(DRIVER(cuKernelGetName)(name, kernel)));
}

cudaError_t cudaFuncGetParamInfo(const void *func, size_t paramIndex, size_t *paramOffset,
                                 size_t *paramSize)
{
    CUkernel kernel = NULL;
    cudaError_t status = kernel_find(func, &kernel);

    return error_keep(status
                          ?: error_from(DRIVER(cuKernelGetParamInfo)(kernel, paramIndex,
                                                                     paramOffset, paramSize)));
}

static cudaError_t blocks_per_multiprocessor(int *blocks, const void *function, int block_size,
                                             size_t shared_bytes, unsigned flags)
{
    CUkernel kernel = NULL;
    cudaError_t status = context_ready() ?: kernel_find(function, &kernel);

    return status
               ?: error_from(DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)(
                      blocks, (CUfunction)kernel, block_size, shared_bytes, flags));
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *numBlocks, const void *func,
                                                          int blockSize, size_t dynamicSMemSize)
{
    return error_keep(blocks_per_multiprocessor(numBlocks, func, blockSize, dynamicSMemSize, 0));
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *numBlocks, const void *func,
                                                                   int blockSize,
                                                                   size_t dynamicSMemSize,
                                                                   unsigned int flags)
{
    return error_keep(
        blocks_per_multiprocessor(numBlocks, func, blockSize, dynamicSMemSize, flags));
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t *dynamicSmemSize, const void *func,
                                                      int numBlocks, int blockSize)
{
    CUkernel kernel = NULL;
    cudaError_t status = context_ready() ?: kernel_find(func, &kernel);

    return error_keep(status
                          ?: error_from(DRIVER(cuOccupancyAvailableDynamicSMemPerBlock)(
                                 dynamicSmemSize, (CUfunction)kernel, numBlocks, blockSize)));
}

cudaError_t cudaOccupancyMaxPotentialClusterSize(int *clusterSize, const void *func,
                                                 const cudaLaunchConfig_t *launchConfig)
{
    CUkernel kernel = NULL;
    CUlaunchConfig config;
    cudaError_t status = launchConfig ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = kernel_find(func, &kernel);
    if (status != cudaSuccess)
        return error_keep(status);
    config = launch_config(launchConfig);
    return error_keep_result(
        DRIVER(cuOccupancyMaxPotentialClusterSize)(clusterSize, (CUfunction)kernel, &config));
}

cudaError_t cudaOccupancyMaxActiveClusters(int *numClusters, const void *func,
                                           const cudaLaunchConfig_t *launchConfig)
{
    CUkernel kernel = NULL;
    CUlaunchConfig config;
    cudaError_t status = launchConfig ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = kernel_find(func, &kernel);
    if (status != cudaSuccess)
        return error_keep(status);
    config = launch_config(launchConfig);
    return error_keep_result(
        DRIVER(cuOccupancyMaxActiveClusters)(numClusters, (CUfunction)kernel, &config));
}
