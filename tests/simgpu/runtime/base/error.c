/* SPDX-License-Identifier: MIT */
/*
 * Error codes: names, texts, the thread's last error.
 *
 * Since CUDA 10.1 a driver code and the runtime code for it are the same number, so translation is
 * the identity on every value error.def knows. cudaErrorNotReady is an answer, not an error, and is
 * never kept (CUDA C++ Programming Guide, "Error checking"). An error that has broken the context
 * stays the thread's last error until the device is reset: reading it does not clear it.
 *
 * Threading: the last error belongs to its thread.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <stdbool.h>
#include <stddef.h>

static _Thread_local cudaError_t last_error;

#define UNKNOWN_TEXT "unrecognized error code"

static bool error_is_known(int code)
{
#define ERROR(enumerator, text) case enumerator:
    switch (code) {
#include "tests/simgpu/runtime/base/error.def"
        return true;
    }
#undef ERROR
    return false;
}

const char *cudaGetErrorName(cudaError_t error)
{
#define ERROR(enumerator, text)                                                                    \
    case enumerator: return #enumerator;
    switch ((int)error) {
#include "tests/simgpu/runtime/base/error.def"
    }
#undef ERROR
    return UNKNOWN_TEXT;
}

const char *cudaGetErrorString(cudaError_t error)
{
#define ERROR(enumerator, text)                                                                    \
    case enumerator: return text;
    switch ((int)error) {
#include "tests/simgpu/runtime/base/error.def"
    }
#undef ERROR
    return UNKNOWN_TEXT;
}

static bool error_is_sticky(cudaError_t error)
{
    switch ((int)error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable: return true;
    default: return false;
    }
}

cudaError_t error_from(CUresult result)
{
    return error_is_known((int)result) ? (cudaError_t)result : cudaErrorUnknown;
}

cudaError_t error_keep(cudaError_t status)
{
    if (status != cudaSuccess && status != cudaErrorNotReady)
        last_error = status;
    return status;
}

cudaError_t error_keep_result(CUresult result)
{
    return error_keep(error_from(result));
}

void error_forget(void)
{
    last_error = cudaSuccess;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;

    if (!error_is_sticky(error))
        last_error = cudaSuccess;
    return error;
}
