/* SPDX-License-Identifier: MIT */
/*
 * The hooks that turn a green context into a CUcontext and destroy it. See shim/context/green.h.
 */
#include "shim/context/green.h"

#include "cupti/base/uncancelled.h"
#include "shim/context/context.h"
#include "shim/hooks/call.h"
#include "shim/hooks/ending.h"

/* The primary context of the device; a green context keeps it alive. */
static CUcontext primary_of(const struct driver_functions *driver, CUcontext handle)
{
    CUcontext primary = NULL, popped;
    CUdevice device;

    if (REAL_ASK(driver->cuCtxPushCurrent_v2(handle)) != CUDA_SUCCESS)
        return NULL;
    if (REAL_ASK(driver->cuCtxGetDevice(&device)) == CUDA_SUCCESS)
        primary = context_primary(driver, device);
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

/* The last one that kept the primary context of its device ends that, too. */
CUresult cuGreenCtxDestroy(CUgreenCtx hCtx)
{
    const struct driver_functions *real = real_driver();
    CUcontext handle = NULL, primary = NULL;
    struct context_end end, primary_end;

    if (!real || !real->cuGreenCtxDestroy)
        return MISSING_DRIVER;
    UNCANCELLED;
    int saved_errno = errno;
    bool known = green_any() && real->cuCtxFromGreenCtx &&
                 real->cuCtxFromGreenCtx(&handle, hCtx) == CUDA_SUCCESS;
    if (known) {
        context_end_begin(&end, handle);
        primary = green_remove(handle);
    }
    ending_begin(&primary_end, primary, false);
    CUresult result = real->cuGreenCtxDestroy(hCtx);
    if (result != CUDA_SUCCESS && primary)
        green_add(handle, primary);
    ending_finish(&primary_end, result == CUDA_SUCCESS && primary_end.handle &&
                                    context_end_came(real, &primary_end));
    if (known)
        context_end_finish(&end, result == CUDA_SUCCESS);
    errno = saved_errno;
    return result;
}
