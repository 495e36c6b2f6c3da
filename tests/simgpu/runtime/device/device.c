/* SPDX-License-Identifier: MIT */
/*
 * Counts and versions: queries that need no context.
 *
 * On failure outputs stay as they were, except that cudaDriverGetVersion without a driver is a
 * success with version 0, as cuda_runtime_api.h says.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <stddef.h>

cudaError_t cudaGetDeviceCount(int *count)
{
    int devices = 0;
    cudaError_t status = count ? driver_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuDeviceGetCount)(&devices));
    if (status == cudaSuccess && devices == 0)
        status = cudaErrorNoDevice;
    if (status == cudaSuccess)
        *count = devices;
    return error_keep(status);
}

cudaError_t cudaDriverGetVersion(int *driverVersion)
{
    if (!driverVersion)
        return error_keep(cudaErrorInvalidValue);
    if (driver_open() != 0) {
        *driverVersion = 0;
        return cudaSuccess;
    }
    return error_keep_result(DRIVER(cuDriverGetVersion)(driverVersion));
}

cudaError_t cudaRuntimeGetVersion(int *runtimeVersion)
{
    if (!runtimeVersion)
        return error_keep(cudaErrorInvalidValue);
    *runtimeVersion = RUNTIME_VERSION;
    return cudaSuccess;
}
