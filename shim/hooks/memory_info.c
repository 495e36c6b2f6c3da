/* SPDX-License-Identifier: MIT */
/*
 * Reports free and total memory: the driver's answer, plus what the pools could hand out, within
 * the limit. With a limit, the limit is the size of the device. Blocks cached by the pool count as
 * free, so neither keeping nor returning them changes what the program reads.
 */
#include "shim/hooks/call.h"
#include "shim/backend/idle.h"
#include "shim/backend/ordered_free.h"
#include "shim/context/context.h"
#include "shim/memory/limit.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Reads the driver's figures of the current context's device and adjusts them for the program. */
static void adjust(const struct driver_functions *driver, size_t *free_bytes, size_t *total_bytes)
{
    struct context *context = driver ? context_current(driver) : NULL;

    if (!context)
        context =
            context_last(); /* the driver answered for some context, and this is the likeliest */
    if (shim_mode() != SHIM_POOL || !context)
        return;
    size_t available = context_available_bytes(context->device);
    size_t limit = limit_bytes(driver, context->device);
    *free_bytes = smaller(*free_bytes + available, *total_bytes);
    if (limit >= *total_bytes)
        return;
    size_t used = limit_used_bytes(context->device);
    used -= smaller(used, available);
    *total_bytes = limit;
    *free_bytes = smaller(*free_bytes, limit - smaller(used, limit));
}

/* Memory that serves neither the program nor the pool goes back before the driver is asked. */
static void prepare(void)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    const struct context *context = driver && atomic_load_explicit(&ordered_free_kept,
                                                                   memory_order_relaxed)
                                        ? context_current(driver)
                                        : NULL;

    if (context)
        ordered_free_return(context->device);
}

/* A program may ask for only one of the two; each depends on both. */
static void answered(const struct call *call, int result, size_t *ret_free, size_t *ret_total)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    size_t free_bytes, total_bytes;

    if (result != 0)
        return;
    if (ret_free && ret_total) {
        free_bytes = *ret_free;
        total_bytes = *ret_total;
    } else if (!driver || REAL_ASK(driver->cuMemGetInfo_v2(&free_bytes, &total_bytes))) {
        return;
    }
    record_memory_info(call, free_bytes, total_bytes);
    adjust(driver, &free_bytes, &total_bytes);
    if (ret_free)
        *ret_free = free_bytes;
    if (ret_total)
        *ret_total = total_bytes;
}

/* Acts at any depth: the runtime's device properties come from this. */
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuDeviceTotalMem_v2)
        return MISSING_DRIVER;
    CUresult result = real->cuDeviceTotalMem_v2(bytes, dev);
    int saved_errno = errno;
    if (result == CUDA_SUCCESS && shim_mode() == SHIM_POOL)
        *bytes = smaller(*bytes, limit_bytes(real, dev));
    errno = saved_errno;
    return result;
}

cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
    struct call call;
    const struct runtime_functions *real = CALL_REAL_RUNTIME();

    if (!real || !real->cudaMemGetInfo)
        return MISSING_RUNTIME;
    if (!call_begin(&call, HOOK_cudaMemGetInfo, __builtin_return_address(0)))
        return real->cudaMemGetInfo(ret_free, ret_total);
    prepare();
    cudaError_t result = real->cudaMemGetInfo(ret_free, ret_total);
    answered(&call, (int)result, ret_free, ret_total);
    call_end(&call);
    idle_look();
    return result;
}

CUresult cuMemGetInfo_v2(size_t *ret_free, size_t *ret_total)
{
    struct call call;
    const struct driver_functions *real = CALL_REAL_DRIVER();

    if (!real || !real->cuMemGetInfo_v2)
        return MISSING_DRIVER;
    if (!call_begin(&call, HOOK_cuMemGetInfo_v2, __builtin_return_address(0)))
        return call_observe(real->cuMemGetInfo_v2(ret_free, ret_total));
    prepare();
    CUresult result = call_observe(real->cuMemGetInfo_v2(ret_free, ret_total));
    answered(&call, (int)result, ret_free, ret_total);
    call_end(&call);
    idle_look();
    return result;
}
