/* SPDX-License-Identifier: MIT */
/*
 * The driver's life in this process: ready after cuInit, gone in a child after fork, where every
 * call returns NOT_INITIALIZED as natively. Also the calls without an object: cuInit, versions,
 * names of errors, cuGetProcAddress, the profiler's switches, and the controls of simgpu.h for the
 * whole process.
 */
#include "tests/simgpu/driver/base/call.h"

#include <string.h>

#include "tests/simgpu/driver/api/machine_table.h"
#include "tests/simgpu/driver/api/observed_table.h"
#include "tests/simgpu/driver/api/resolve.h"
#include "tests/simgpu/driver/api/stranger.h"
#include "tests/simgpu/driver/api/unsupported.h"
#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/work/edit.h"
#include "tests/simgpu/simgpu.h"

static void forget_in_child(void)
{
    atomic_store(&driver_state, DRIVER_FORKED);
}

static CUresult init(unsigned flags)
{
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (driver_state == DRIVER_FORKED)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (driver_state == DRIVER_READY)
        return device_count() ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
    CUresult result = devices_open();
    if (result != CUDA_SUCCESS)
        return result;
    pthread_atfork(NULL, NULL, forget_in_child);
    atomic_store(&driver_state, DRIVER_READY);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuInit(unsigned int Flags)
{
    CALL_ANYTIME(cuInit, CALL_LOCKED(init(Flags)));
}

static CUresult version_get(int *ret)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (int)profile.driver_version;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDriverGetVersion(int *driverVersion)
{
    CALL_ANYTIME(cuDriverGetVersion, version_get(driverVersion));
}

static CUresult text_get(const char *text, const char **ret)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = text;
    return text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuGetErrorString(CUresult error, const char **pStr)
{
    CALL_ANYTIME(cuGetErrorString, text_get(result_description(error), pStr));
}

CUresult CUDAAPI cuGetErrorName(CUresult error, const char **pStr)
{
    CALL_ANYTIME(cuGetErrorName, text_get(result_name(error), pStr));
}

static CUresult look_up(const char *symbol, void **ret, int version, cuuint64_t flags,
                        CUdriverProcAddressQueryResult *ret_status)
{
    const cuuint64_t known = CU_GET_PROC_ADDRESS_LEGACY_STREAM |
                             CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    static const CUdriverProcAddressQueryResult statuses[] = {
        [RESOLVE_FOUND] = CU_GET_PROC_ADDRESS_SUCCESS,
        [RESOLVE_UNKNOWN] = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND,
        [RESOLVE_TOO_NEW] = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT,
    };
    enum resolve_status status = RESOLVE_UNKNOWN;

    if (!symbol || !ret || flags & ~known || flags == known)
        return CUDA_ERROR_INVALID_VALUE;
    if (profile.ctx_record_event || strcmp(symbol, "cuCtxRecordEvent"))
        status = resolve(symbol, version, (int)profile.driver_version,
                         flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, ret);
    if (ret_status)
        *ret_status = statuses[status];
    if (status == RESOLVE_FOUND)
        return CUDA_SUCCESS;
    *ret = NULL;
    return CUDA_ERROR_NOT_FOUND;
}

CUresult CUDAAPI cuGetProcAddress(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags)
{
    CALL_ANYTIME(cuGetProcAddress, look_up(symbol, pfn, cudaVersion, flags, NULL),
                 "symbol=%s\tversion=%d\tflags=%llu", symbol, cudaVersion,
                 (unsigned long long)flags);
}

CUresult CUDAAPI cuGetProcAddress_v2(const char *symbol, void **pfn, int cudaVersion,
                                     cuuint64_t flags, CUdriverProcAddressQueryResult *symbolStatus)
{
    CALL_ANYTIME(cuGetProcAddress_v2, look_up(symbol, pfn, cudaVersion, flags, symbolStatus),
                 "symbol=%s\tversion=%d\tflags=%llu", symbol, cudaVersion,
                 (unsigned long long)flags);
}

/* Export tables are not documented, so there are none but those of the simulated libraries. */
CUresult CUDAAPI cuGetExportTable(const void **ppExportTable, const CUuuid *pExportTableId)
{
    if (observed_table(ppExportTable, pExportTableId) == CUDA_SUCCESS ||
        machine_table(ppExportTable, pExportTableId) == CUDA_SUCCESS)
        return CUDA_SUCCESS; /* not a call of the program: neither counted nor logged */
    stranger_explain(__builtin_return_address(0));
    CALL_ANYTIME(cuGetExportTable, CUDA_ERROR_NOT_SUPPORTED);
}

int unsupported_leave(enum call_id id)
{
    CUresult result = call_enter(id, false);

    if (result == CUDA_SUCCESS)
        result = CUDA_ERROR_NOT_SUPPORTED;
    if (log_enabled)
        log_call(id, result, "unimplemented=1");
    return result;
}

uint64_t simgpu_virtual_ns(void)
{
    return threads_virtual_ns();
}

uint64_t simgpu_calls(const char *name)
{
    enum call_id id = call_by_name(name, strlen(name));

    return id == CALL_COUNT ? 0 : threads_calls(id);
}

uint64_t simgpu_library_calls(void)
{
    return log_library_calls();
}

uint64_t simgpu_kernels_skipped(void)
{
    return log_kernels_skipped();
}

uint64_t simgpu_edits_under_work(void)
{
    return edit_count();
}
