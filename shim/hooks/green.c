/* SPDX-License-Identifier: MIT */
/*
 * The list of green contexts that were turned into a CUcontext, which a program must do to make one
 * current. Entries are few and only added and removed under a lock; without any nobody takes it.
 * When the table is full the context is served as one of its own, safe and less well.
 */
#include "shim/hooks/green.h"

#include <pthread.h>

#include "shim/hooks/call.h"
#include "shim/context/context.h"

#define GREEN_MAX 64

struct green {
    CUcontext handle, primary;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct green greens[GREEN_MAX]; /* guarded by lock */
static atomic_int used;                /* changed under lock */

CUcontext green_owner(CUcontext handle)
{
    if (!atomic_load_explicit(&used, memory_order_acquire))
        return handle;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < used; i++) {
        if (greens[i].handle == handle) {
            handle = greens[i].primary;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

static void green_add(CUcontext handle, CUcontext primary)
{
    pthread_mutex_lock(&lock);
    bool known = false;
    for (int i = 0; i < used; i++)
        known = known || greens[i].handle == handle;
    if (!known && used < GREEN_MAX)
        greens[used++] = (struct green){handle, primary};
    pthread_mutex_unlock(&lock);
}

static void green_remove(CUcontext handle)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < used; i++) {
        if (greens[i].handle == handle) {
            greens[i] = greens[used - 1];
            used--;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&context_generation, 1); /* threads remember what a handle stood for */
}

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
    CUcontext handle = NULL;
    CUdevice device = 0;
    if (!real || !real->cuGreenCtxDestroy)
        return MISSING_DRIVER;
    int saved_errno = errno;
    bool known = atomic_load(&used) && real->cuCtxFromGreenCtx &&
                 real->cuCtxFromGreenCtx(&handle, hCtx) == CUDA_SUCCESS;
    struct context *context = known ? context_find(green_owner(handle)) : NULL;
    if (context)
        device = context->device;
    CUresult result = real->cuGreenCtxDestroy(hCtx);
    if (known && result == CUDA_SUCCESS) {
        green_remove(handle);
        if (context) /* it may have been the last to keep the primary context */
            context_drop_ended(real, device);
    }
    errno = saved_errno;
    return result;
}
