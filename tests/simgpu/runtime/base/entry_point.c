/* SPDX-License-Identifier: MIT */
/*
 * The driver's functions by name, for programs that call them without linking libcuda. What is
 * returned is what the driver's resolver answers, so an interposer's substitute reaches the
 * program. Compiled twice: see runtime.h; the twin prefers per-thread default streams.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <stdbool.h>
#include <stddef.h>

static bool flags_translate(unsigned long long flags, cuuint64_t *ret_flags)
{
    switch (flags) {
    case cudaEnableDefault:
#ifdef RUNTIME_PER_THREAD
        *ret_flags = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
#else
        *ret_flags = CU_GET_PROC_ADDRESS_LEGACY_STREAM;
#endif
        return true;
    case cudaEnableLegacyStream: *ret_flags = CU_GET_PROC_ADDRESS_LEGACY_STREAM; return true;
    case cudaEnablePerThreadDefaultStream:
        *ret_flags = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
        return true;
    default: return false;
    }
}

/* Not finding a symbol is an answer, not an error: success, with a pointer of NULL. */
static cudaError_t entry_point(const char *symbol, unsigned version, unsigned long long flags,
                               enum cudaDriverEntryPointQueryResult *driver_status,
                               void **ret_function)
{
    CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SUCCESS;
    cuuint64_t driver_flags = 0;
    int driver_version = 0;
    void *function = NULL;
    CUresult result;
    cudaError_t status;

    if (!symbol || !ret_function || !flags_translate(flags, &driver_flags))
        return cudaErrorInvalidValue;
    status = driver_ready() ?: error_from(DRIVER(cuDriverGetVersion)(&driver_version));
    if (status != cudaSuccess)
        return status;
    if (version > (unsigned)driver_version)
        return cudaErrorInvalidValue;
    result = DRIVER(cuGetProcAddress)(symbol, &function, (int)version, driver_flags, &found);
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_FOUND)
        return error_from(result);
    if (result == CUDA_ERROR_NOT_FOUND && found == CU_GET_PROC_ADDRESS_SUCCESS)
        found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    *ret_function = found == CU_GET_PROC_ADDRESS_SUCCESS ? function : NULL;
    if (driver_status)
        *driver_status = (enum cudaDriverEntryPointQueryResult)found;
    return cudaSuccess;
}

/* With a driver older than the runtime, the newest functions the driver can answer for. */
static unsigned default_version(void)
{
    int driver_version = 0;

    if (driver_ready() != cudaSuccess ||
        DRIVER(cuDriverGetVersion)(&driver_version) != CUDA_SUCCESS ||
        driver_version > RUNTIME_VERSION)
        return RUNTIME_VERSION;
    return (unsigned)driver_version;
}

cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **funcPtr, unsigned long long flags,
                                    enum cudaDriverEntryPointQueryResult *driverStatus)
{
    return error_keep(entry_point(symbol, default_version(), flags, driverStatus, funcPtr));
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **funcPtr,
                                             unsigned int cudaVersion, unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *driverStatus)
{
    return error_keep(entry_point(symbol, cudaVersion, flags, driverStatus, funcPtr));
}
