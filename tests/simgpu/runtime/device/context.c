/* SPDX-License-Identifier: MIT */
/*
 * Devices and contexts: which one a thread uses, and the primary contexts behind it.
 *
 * The thread's choice lives in the driver's current-context slot, not here, so that a program may
 * mix both APIs: a context made current with cuCtxSetCurrent is used as it is. Only when there is
 * none does the thread's own device decide, and its primary context becomes current. Each primary
 * context is retained once for the process and let go by cudaDeviceReset; a thread that still has a
 * context of before the reset gets the new one at its next call.
 *
 * Threading: primaries are guarded by a mutex; the device a thread set is the thread's own.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { DEVICES_MAX = 64 };

/* One device's primary context, as this runtime sees it. */
struct primary {
    CUcontext context; /* the last one retained; guarded by primaries_lock */
    bool retained;     /* guarded by primaries_lock */
};

static pthread_mutex_t primaries_lock = PTHREAD_MUTEX_INITIALIZER;
static struct primary primaries[DEVICES_MAX];
static unsigned resets; /* atomic; counts cudaDeviceReset */
static _Thread_local int thread_device;

cudaError_t driver_ready(void)
{
    int status = driver_load();

    return status >= 0 ? error_from((CUresult)status) : cudaErrorInsufficientDriver;
}

/* CUdevice handles are ordinals (cuDeviceGet), so one number serves both APIs. */
static cudaError_t device_check(int device)
{
    CUdevice handle;
    CUresult result;

    if (device < 0 || device >= DEVICES_MAX)
        return cudaErrorInvalidDevice;
    result = DRIVER(cuDeviceGet)(&handle, device);
    return error_from(result);
}

cudaError_t context_primary(int device, CUcontext *ret_context)
{
    cudaError_t status = driver_ready() ?: device_check(device);

    if (status != cudaSuccess)
        return status;
    pthread_mutex_lock(&primaries_lock);
    if (!primaries[device].retained) {
        status = error_from(
            DRIVER(cuDevicePrimaryCtxRetain)(&primaries[device].context, (CUdevice)device));
        primaries[device].retained = status == cudaSuccess;
    }
    if (status == cudaSuccess)
        *ret_context = primaries[device].context;
    pthread_mutex_unlock(&primaries_lock);
    return status;
}

/*
 * The device whose primary context was `context` before a reset; -1 for any other context. What a
 * thread found out holds until the next reset, so the lock is taken once per thread and reset.
 */
static int context_was_reset(CUcontext context)
{
    static _Thread_local CUcontext sound_context;
    static _Thread_local unsigned sound_resets;
    unsigned resets_now = __atomic_load_n(&resets, __ATOMIC_ACQUIRE);
    int device = -1;

    if (context == sound_context && resets_now == sound_resets)
        return -1;
    pthread_mutex_lock(&primaries_lock);
    for (int i = 0; i < DEVICES_MAX; i++) {
        if (primaries[i].context == context && !primaries[i].retained)
            device = i;
    }
    pthread_mutex_unlock(&primaries_lock);
    if (device < 0) {
        sound_context = context;
        sound_resets = resets_now;
    }
    return device;
}

static cudaError_t context_enter_primary(int device)
{
    CUcontext context;
    cudaError_t status = context_primary(device, &context);

    return status ?: error_from(DRIVER(cuCtxSetCurrent)(context));
}

cudaError_t context_ready(void)
{
    CUcontext context = NULL;
    cudaError_t status = driver_ready() ?: error_from(DRIVER(cuCtxGetCurrent)(&context));

    if (status != cudaSuccess)
        return status;
    if (!context)
        return context_enter_primary(thread_device);

    int device = context_was_reset(context);
    return device < 0 ? cudaSuccess : context_enter_primary(device);
}

cudaError_t context_device(int *ret_device)
{
    CUcontext context = NULL;
    CUdevice device = thread_device;
    cudaError_t status = driver_ready() ?: error_from(DRIVER(cuCtxGetCurrent)(&context));

    if (status == cudaSuccess && context && context_was_reset(context) < 0)
        status = error_from(DRIVER(cuCtxGetDevice_v2000)(&device));
    if (status == cudaSuccess)
        *ret_device = device;
    return status;
}

cudaError_t cudaGetDevice(int *device)
{
    return error_keep(device ? context_device(device) : cudaErrorInvalidValue);
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t status = driver_ready() ?: device_check(device);

    if (status == cudaSuccess) {
        thread_device = device;
        status = context_enter_primary(device);
    }
    return error_keep(status);
}

cudaError_t cudaInitDevice(int device, unsigned int deviceFlags, unsigned int flags)
{
    CUcontext context;
    cudaError_t status = driver_ready() ?: device_check(device);

    if (status == cudaSuccess && (flags & ~(unsigned)cudaInitDeviceFlagsAreValid))
        status = cudaErrorInvalidValue;
    if (status == cudaSuccess && (flags & cudaInitDeviceFlagsAreValid))
        status = error_from(DRIVER(cuDevicePrimaryCtxSetFlags)(device, deviceFlags));
    return error_keep(status ?: context_primary(device, &context));
}

cudaError_t cudaSetDeviceFlags(unsigned int flags)
{
    int device = 0;
    cudaError_t status = context_device(&device);

    return error_keep(status ?: error_from(DRIVER(cuDevicePrimaryCtxSetFlags)(device, flags)));
}

cudaError_t cudaGetDeviceFlags(unsigned int *flags)
{
    int device = 0, active;
    CUcontext context = NULL;
    cudaError_t status = flags ? context_device(&device) : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuCtxGetCurrent)(&context));
    if (status != cudaSuccess)
        return error_keep(status);
    return error_keep_result(
        context ? DRIVER(cuCtxGetFlags)(flags)
                : DRIVER(cuDevicePrimaryCtxGetState)((CUdevice)device, flags, &active));
}

cudaError_t cudaDeviceReset(void)
{
    int device = 0;
    cudaError_t status = context_device(&device);

    if (status != cudaSuccess)
        return error_keep(status);
    pthread_mutex_lock(&primaries_lock);
    status = error_from(DRIVER(cuDevicePrimaryCtxReset)((CUdevice)device));
    if (primaries[device].retained)
        DRIVER(cuDevicePrimaryCtxRelease)((CUdevice)device);
    primaries[device].retained = false;
    __atomic_add_fetch(&resets, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&primaries_lock);
    if (status == cudaSuccess) {
        thread_device = device;
        DRIVER(cuCtxSetCurrent)(NULL);
        error_forget();
    }
    return error_keep(status);
}

#if RUNTIME_MAJOR <= 12
RUNTIME_PUBLIC cudaError_t cudaThreadExit(void) __attribute__((alias("cudaDeviceReset")));
#endif
