/* SPDX-License-Identifier: MIT */
/*
 * The hooks around the end of contexts, the links between them, and the calls after which a thread
 * may have no context. They act at any depth: the runtime's own calls count.
 */
#include "shim/hooks/call.h"
#include "shim/hooks/ending.h"

#include "cupti/base/uncancelled.h"
#include "shim/backend/backend_vmm.h"
#include "shim/context/context.h"
#include "shim/context/green.h"
#include "shim/context/primary_uses.h"
#include "shim/share/ipc_mapped.h"

static CUresult destroy(__typeof__(cuCtxDestroy_v2) *real, CUcontext ctx)
{
    if (!real)
        return MISSING_DRIVER;
    UNCANCELLED;
    struct context_end end;
    ending_begin(&end, ctx, true);
    CUresult result = real(ctx);
    ending_finish(&end, result == CUDA_SUCCESS);
    return result;
}

CUresult cuCtxDestroy(CUcontext ctx)
{
    const struct driver_functions *real = real_driver();

    return destroy(real ? real->cuCtxDestroy : NULL, ctx);
}

CUresult cuCtxDestroy_v2(CUcontext ctx)
{
    const struct driver_functions *real = real_driver();

    return destroy(real ? real->cuCtxDestroy_v2 : NULL, ctx);
}

static void drop_ended(const struct driver_functions *driver, CUdevice device)
{
    if (context_drop_ended(driver, device))
        ending_settle();
}

/* The last detach ends the context; the driver says which was the last. */
CUresult cuCtxDetach(CUcontext ctx)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuCtxDetach)
        return MISSING_DRIVER;
    UNCANCELLED;
    struct context_end end;
    ending_begin(&end, ctx, false);
    CUresult result = real->cuCtxDetach(ctx);
    int saved_errno = errno;
    bool ended = result == CUDA_SUCCESS && end.handle && context_end_came(real, &end);
    errno = saved_errno;
    ending_finish(&end, ended);
    return result;
}

/* An inactive one is not activated for that. */
static CUcontext primary_of(const struct driver_functions *real, CUdevice dev)
{
    return shim_mode() != SHIM_OFF && context_primary_state(real, dev) == 1
               ? context_primary(real, dev)
               : NULL;
}

/* Before a call that may end the primary context: afterwards a driver without ids of contexts no
 * longer says which one it was. */
static CUcontext primary_note(const struct driver_functions *real, CUdevice dev)
{
    CUcontext handle = primary_of(real, dev);
    struct context *primary = handle ? context_find(handle) : NULL;

    if (primary)
        atomic_store(&primary->primary, true);
    return handle;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuDevicePrimaryCtxRetain)
        return MISSING_DRIVER;
    UNCANCELLED;
    CUresult result = real->cuDevicePrimaryCtxRetain(pctx, dev);
    int saved_errno = errno;
    if (result == CUDA_SUCCESS)
        primary_uses_add(dev);
    errno = saved_errno;
    return result;
}

/* If it may be the last, it is ordered as an end; the driver says whether it was. */
static CUresult release(const struct driver_functions *real,
                        __typeof__(cuDevicePrimaryCtxRelease_v2) *function, CUdevice dev)
{
    if (!function)
        return MISSING_DRIVER;
    UNCANCELLED;
    int saved_errno = errno;
    struct context_end end = {0};
    bool left = primary_uses_begin(dev);
    if (!left)
        ending_begin(&end, primary_note(real, dev), false);
    errno = saved_errno;
    CUresult result = function(dev);
    saved_errno = errno;
    if (left)
        primary_uses_finish(dev, result == CUDA_SUCCESS);
    else
        ending_finish(&end, result == CUDA_SUCCESS && end.handle && context_end_came(real, &end));
    /* Could not be found out before the call. */
    if (result == CUDA_SUCCESS && shim_mode() != SHIM_OFF)
        drop_ended(real, dev);
    errno = saved_errno;
    return result;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev)
{
    const struct driver_functions *real = real_driver();

    return release(real, real ? real->cuDevicePrimaryCtxRelease : NULL, dev);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    const struct driver_functions *real = real_driver();

    return release(real, real ? real->cuDevicePrimaryCtxRelease_v2 : NULL, dev);
}

static CUresult reset(const struct driver_functions *real,
                      __typeof__(cuDevicePrimaryCtxReset_v2) *function, CUdevice dev)
{
    if (!function)
        return MISSING_DRIVER;
    UNCANCELLED;
    int saved_errno = errno;
    struct context_end end;
    ending_begin(&end, primary_of(real, dev), true);
    errno = saved_errno;
    CUresult result = function(dev);
    saved_errno = errno;
    ending_finish(&end, result == CUDA_SUCCESS);
    if (result == CUDA_SUCCESS)
        primary_uses_forget(dev);
    /* Could not be found out before the call. */
    if (result == CUDA_SUCCESS && shim_mode() != SHIM_OFF)
        drop_ended(real, dev);
    errno = saved_errno;
    return result;
}

CUresult cuDevicePrimaryCtxReset(CUdevice dev)
{
    const struct driver_functions *real = real_driver();

    return reset(real, real ? real->cuDevicePrimaryCtxReset : NULL, dev);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    const struct driver_functions *real = real_driver();

    return reset(real, real ? real->cuDevicePrimaryCtxReset_v2 : NULL, dev);
}

/* The real function reaches the driver's hook above. In case it does not, the driver is asked
 * afterwards which contexts are left. */
cudaError_t cudaDeviceReset(void)
{
    const struct runtime_functions *real = CALL_REAL_RUNTIME();
    const struct driver_functions *driver = real_driver_if_loaded();
    struct context *context = NULL;

    if (!real || !real->cudaDeviceReset)
        return MISSING_RUNTIME;
    UNCANCELLED;
    int saved_errno = errno;
    if (driver && shim_mode() != SHIM_OFF)
        context = context_current(driver);
    if (context)
        primary_note(driver, context->device);
    cudaError_t result = real->cudaDeviceReset();
    if (context)
        drop_ended(driver, context->device);
    errno = saved_errno;
    return result;
}

/* Peers of a context can access all memory mapped in it, its own and opened. */
static void peer_disabled(const struct driver_functions *real, struct context *owner, int device)
{
    backend_vmm_peer_disabled(owner, device);
    (void)ipc_mapped_peer(real, owner, device, false);
}

static CUresult peer_enabled(const struct driver_functions *real, struct context *owner, int device)
{
    CUresult result = backend_vmm_peer_enabled(owner, device);

    if (result != CUDA_SUCCESS)
        return result;
    result = ipc_mapped_peer(real, owner, device, true);
    if (result != CUDA_SUCCESS)
        backend_vmm_peer_disabled(owner, device);
    return result;
}

/* The current context will access the peer's memory. So the fences of both cover both, and
 * memory mapped there becomes accessible to this device. If that fails, the link is refused. */
CUresult cuCtxEnablePeerAccess(CUcontext peerContext, unsigned int flags)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuCtxEnablePeerAccess)
        return MISSING_DRIVER;
    UNCANCELLED;
    int saved_errno = errno;
    CUresult result = real->cuCtxEnablePeerAccess(peerContext, flags);
    if (result == CUDA_SUCCESS && shim_mode() != SHIM_OFF) {
        const struct context *context = context_current(real);

        context_note(real, peerContext);
        struct context *peer = context_find(green_owner(peerContext));
        if (context && peer)
            result = peer_enabled(real, peer, context->device);
        if (result != CUDA_SUCCESS && real->cuCtxDisablePeerAccess)
            (void)REAL_ASK(real->cuCtxDisablePeerAccess(peerContext));
    }
    errno = saved_errno;
    return result;
}

CUresult cuCtxDisablePeerAccess(CUcontext peerContext)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuCtxDisablePeerAccess)
        return MISSING_DRIVER;
    UNCANCELLED;
    int saved_errno = errno;
    CUresult result = real->cuCtxDisablePeerAccess(peerContext);
    if (result == CUDA_SUCCESS && shim_mode() != SHIM_OFF) {
        const struct context *context = context_current(real);
        struct context *peer = context_find(green_owner(peerContext));

        if (context && peer)
            peer_disabled(real, peer, context->device);
    }
    errno = saved_errno;
    return result;
}

/* The next free of this thread looks whether it has a context (shim/hooks/release.c): a look at
 * each free would cost every program, and these calls are rare. */
static CUresult pop(__typeof__(cuCtxPopCurrent_v2) *real, CUcontext *pctx)
{
    if (!real)
        return MISSING_DRIVER;
    thread_state.lived_generation = 0;
    return real(pctx);
}

CUresult cuCtxPopCurrent(CUcontext *pctx)
{
    const struct driver_functions *real = real_driver();

    return pop(real ? real->cuCtxPopCurrent : NULL, pctx);
}

CUresult cuCtxPopCurrent_v2(CUcontext *pctx)
{
    const struct driver_functions *real = real_driver();

    return pop(real ? real->cuCtxPopCurrent_v2 : NULL, pctx);
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuCtxSetCurrent)
        return MISSING_DRIVER;
    if (!ctx)
        thread_state.lived_generation = 0;
    return real->cuCtxSetCurrent(ctx);
}
