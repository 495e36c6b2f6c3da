/* SPDX-License-Identifier: MIT */
/*
 * The hooks that turn a green context into a CUcontext and destroy it. See shim/context/green.h.
 */
#include "shim/context/green.h"

#include "cupti/base/uncancelled.h"
#include "shim/backend/backend_vmm.h"
#include "shim/context/context.h"
#include "shim/hooks/call.h"
#include "shim/share/ipc_mapped.h"

/* The primary context of the device; a green context keeps it alive. */
static CUcontext primary_of(const struct driver_functions *driver, CUcontext handle)
{
    CUcontext primary = NULL, popped;
    CUdevice device;

    if (REAL_ASK(driver->cuCtxPushCurrent_v2(handle)) != CUDA_SUCCESS)
        return NULL;
    if (REAL_ASK(driver->cuCtxGetDevice(&device)) == CUDA_SUCCESS &&
        REAL_ASK(driver->cuDevicePrimaryCtxRetain(&primary, device)) == CUDA_SUCCESS)
        driver->cuDevicePrimaryCtxRelease_v2(device);
    (void)REAL_ASK(driver->cuCtxPopCurrent_v2(&popped));
    return primary;
}

CUresult cuCtxFromGreenCtx(CUcontext *pContext, CUgreenCtx hCtx)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuCtxFromGreenCtx)
        return MISSING_DRIVER;
    UNCANCELLED;
    CUresult result = real->cuCtxFromGreenCtx(pContext, hCtx);
    if (result != CUDA_SUCCESS || shim_mode() == SHIM_OFF || !real->cuDevicePrimaryCtxRetain)
        return result;
    int saved_errno = errno;
    CUcontext primary = primary_of(real, *pContext);
    if (primary)
        green_add(*pContext, primary);
    errno = saved_errno;
    return result;
}

CUresult cuGreenCtxDestroy(CUgreenCtx hCtx)
{
    const struct driver_functions *real = real_driver();
    CUcontext handle = NULL, primary = NULL;
    struct context_end end;

    if (!real || !real->cuGreenCtxDestroy)
        return MISSING_DRIVER;
    UNCANCELLED;
    int saved_errno = errno;
    bool known = green_any() && real->cuCtxFromGreenCtx &&
                 real->cuCtxFromGreenCtx(&handle, hCtx) == CUDA_SUCCESS;
    if (known) {
        context_end_begin(&end, handle);
        context_may_end_begin();
        primary = green_remove(handle);
    }
    const struct context *context = primary ? context_find(primary) : NULL;
    CUresult result = real->cuGreenCtxDestroy(hCtx);
    if (result == CUDA_SUCCESS)
        context_look_again(); /* it may have kept the primary context of another thread */
    else if (primary)
        green_add(handle, primary);
    if (known)
        context_end_finish(&end, result == CUDA_SUCCESS);
    if (context && result == CUDA_SUCCESS) { /* it may have been the last to keep that */
        context_drop_ended(real, context->device);
        backend_vmm_reclaim();
        ipc_mapped_reclaim();
    }
    if (known)
        context_may_end_finish();
    errno = saved_errno;
    return result;
}
