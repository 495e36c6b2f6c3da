/* SPDX-License-Identifier: MIT */
/*
 * Export of memory to other processes through the legacy IPC handles.
 *
 * A handle always means a whole driver allocation and opens at its base. So the base of a segment
 * may be exported, which is what callers do that ask for the address range first; its segment is
 * never handed out again. A pooled block that begins elsewhere in its segment would silently open
 * as other bytes: that is refused with the driver's own "invalid value".
 */
#include "shim/call.h"
#include "shim/gate.h"

enum export_kind { EXPORT_FOREIGN, EXPORT_WHOLE, EXPORT_INSIDE };

static enum export_kind export_prepare(uint64_t address)
{
    struct pool_block block;
    struct pool *pool;
    enum export_kind kind = EXPORT_FOREIGN;
    if (shim_mode() != SHIM_POOL)
        return kind;
    gate_enter();
    if (pool_find(address, &block, &pool) == 0) {
        kind = address == block.segment_address ? EXPORT_WHOLE : EXPORT_INSIDE;
        if (kind == EXPORT_WHOLE && pool_pin_segment(address) < 0)
            kind = EXPORT_INSIDE;
    }
    gate_leave();
    return kind;
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *devPtr)
{
    struct call call;
    const struct runtime_functions *real = CALL_REAL_RUNTIME();
    if (!real || !real->cudaIpcGetMemHandle)
        return MISSING_RUNTIME;
    if (!call_begin(&call, HOOK_cudaIpcGetMemHandle, __builtin_return_address(0)))
        return real->cudaIpcGetMemHandle(handle, devPtr);
    /* A null pointer is what makes the real function fail in the same way. */
    if (export_prepare((uint64_t)(uintptr_t)devPtr) == EXPORT_INSIDE)
        devPtr = NULL;
    cudaError_t result = real->cudaIpcGetMemHandle(handle, devPtr);
    call_end(&call);
    return result;
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *pHandle, CUdeviceptr dptr)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();
    if (!real || !real->cuIpcGetMemHandle)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuIpcGetMemHandle, __builtin_return_address(0)))
        return real->cuIpcGetMemHandle(pHandle, dptr);
    CUresult result = export_prepare(dptr) == EXPORT_INSIDE
                          ? CUDA_ERROR_INVALID_VALUE
                          : real->cuIpcGetMemHandle(pHandle, dptr);
    call_end(&call);
    return result;
}
