/* SPDX-License-Identifier: MIT */
/*
 * The driver's stream-ordered pools. See mempool.h.
 */
#include "shim/memory/mempool.h"

#include <stdatomic.h>

#include "cupti/base/likely.h"
#include "shim/memory/place.h"
#include "shim/options/mode.h"

#define DEVICES_MAX 64

static bool threshold_is_set(void)
{
    return shim_options()->mempool_release_threshold.bytes && mode_now() == SHIM_POOL;
}

/* A threshold that the program gave the pool stays. */
static void threshold_apply(const struct driver_functions *driver, CUmemoryPool pool)
{
    cuuint64_t threshold = 0;

    if (!driver->cuMemPoolGetAttribute || !driver->cuMemPoolSetAttribute ||
        REAL_ASK(driver->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                                               &threshold)) != CUDA_SUCCESS ||
        threshold)
        return;
    threshold = shim_options()->mempool_release_threshold.bytes;
    driver->cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
}

void mempool_prepare(const struct driver_functions *driver)
{
    static atomic_bool prepared[DEVICES_MAX];
    CUdevice device;
    CUmemoryPool pool;

    if (likely(!threshold_is_set()) || REAL_ASK(driver->cuCtxGetDevice(&device)) != CUDA_SUCCESS ||
        device < 0 || device >= DEVICES_MAX || atomic_exchange(&prepared[device], true))
        return;
    if (driver->cuDeviceGetDefaultMemPool &&
        REAL_ASK(driver->cuDeviceGetDefaultMemPool(&pool, device)) == CUDA_SUCCESS)
        threshold_apply(driver, pool);
}

void mempool_created(const struct driver_functions *driver, CUmemoryPool pool, int place)
{
    place_pool_made(pool, place);
    if (threshold_is_set())
        threshold_apply(driver, pool);
}

uint64_t mempool_reserved_bytes(CUmemoryPool pool)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    cuuint64_t bytes = 0;

    if (!driver || !driver->cuMemPoolGetAttribute ||
        REAL_ASK(driver->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT,
                                               &bytes)) != CUDA_SUCCESS)
        return 0;
    return bytes;
}
