/* SPDX-License-Identifier: MIT */
/*
 * Places. See place.h. Pools made by the program are remembered with their properties. For any
 * other pool the driver is asked once whether it is the default pool of a device.
 */
#include "shim/memory/place.h"

#include <pthread.h>

#include "shim/context/capture.h"
#include "shim/context/context.h"
#include "shim/memory/ledger.h"
#include "shim/memory/table.h"

#define ALLOCATION_MANAGED 2 /* CU_MEM_ALLOCATION_TYPE_MANAGED, since CUDA 13.0 */

struct pool_place {
    struct table_node node; /* key: the pool's handle */
    int place;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table pools = TABLE_OF(struct pool_place); /* guarded by lock */

enum trace_memory place_memory(enum trace_memory memory, int place)
{
    if (place == PLACE_MANAGED && memory == TRACE_MEMORY_ASYNC)
        return TRACE_MEMORY_MANAGED;
    if (place != PLACE_HOST)
        return memory;
    return memory == TRACE_MEMORY_ASYNC      ? TRACE_MEMORY_HOST_ASYNC
           : memory == TRACE_MEMORY_PHYSICAL ? TRACE_MEMORY_HOST_PHYSICAL
                                             : memory;
}

int place_of(int allocation, int type, int id)
{
    if (allocation == ALLOCATION_MANAGED)
        return PLACE_MANAGED;
    switch (type) {
    case CU_MEM_LOCATION_TYPE_DEVICE: return PLACE_DEVICE(id);
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT: return PLACE_HOST;
    default: return PLACE_HERE;
    }
}

static int device_here(void)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    const struct context *context = driver ? context_current(driver) : NULL;

    return context ? context->device : LEDGER_HOST;
}

int place_device(int place)
{
    return place == PLACE_HERE ? device_here() : place < 0 ? LEDGER_HOST : place - 1;
}

static int device_count(const struct driver_functions *driver)
{
    static atomic_int known;
    int count = atomic_load_explicit(&known, memory_order_relaxed);

    if (count || !driver->cuDeviceGetCount ||
        REAL_ASK(driver->cuDeviceGetCount(&count)) != CUDA_SUCCESS)
        return count;
    atomic_store_explicit(&known, count, memory_order_relaxed);
    return count;
}

static bool is_named(CUstream stream)
{
    return stream && stream != CU_STREAM_LEGACY && stream != CU_STREAM_PER_THREAD;
}

/* The device of a context that is not current. */
static int place_of_context(const struct driver_functions *driver, CUcontext handle)
{
    const struct context *context = context_find(handle);
    CUdevice device;
    CUcontext popped;

    if (context)
        return PLACE_DEVICE(context->device);
    if (REAL_ASK(driver->cuCtxPushCurrent_v2(handle)) != CUDA_SUCCESS)
        return PLACE_HERE;
    bool found = REAL_ASK(driver->cuCtxGetDevice(&device)) == CUDA_SUCCESS;
    (void)REAL_ASK(driver->cuCtxPopCurrent_v2(&popped));
    return found ? PLACE_DEVICE(device) : PLACE_HERE;
}

static int place_of_stream(CUstream stream)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUcontext of_stream = NULL, current = NULL;

    if (!is_named(stream) || !driver || device_count(driver) < 2 || !driver->cuStreamGetCtx ||
        REAL_ASK(driver->cuCtxGetCurrent(&current)) != CUDA_SUCCESS ||
        REAL_ASK(driver->cuStreamGetCtx(stream, &of_stream)) != CUDA_SUCCESS ||
        of_stream == current)
        return PLACE_HERE;
    return place_of_context(driver, of_stream);
}

static void made_locked(CUmemoryPool pool, int place)
{
    uint64_t key = (uint64_t)(uintptr_t)pool;
    struct pool_place *known = table_first(&pools, key);

    if (!known)
        known = table_add(&pools, key);
    if (known)
        known->place = place;
}

void place_pool_made(CUmemoryPool pool, int place)
{
    pthread_mutex_lock(&lock);
    made_locked(pool, place);
    pthread_mutex_unlock(&lock);
}

int place_pool_forget(CUmemoryPool pool)
{
    int place = PLACE_HERE;

    pthread_mutex_lock(&lock);
    struct pool_place *known = table_first(&pools, (uint64_t)(uintptr_t)pool);
    if (known) {
        place = known->place;
        table_remove(&pools, known);
    }
    pthread_mutex_unlock(&lock);
    return place;
}

static bool is_default_pool(const struct driver_functions *driver, CUmemoryPool pool, int device)
{
    CUmemoryPool found = NULL;

    return REAL_ASK(driver->cuDeviceGetDefaultMemPool(&found, device)) == CUDA_SUCCESS &&
           found == pool;
}

/* A pool not made by the program is a device's default pool; otherwise its place is unknown. */
static int place_of_given(CUmemoryPool pool)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    int devices = driver && driver->cuDeviceGetDefaultMemPool ? device_count(driver) : 0;

    for (int device = 0; device < devices; device++)
        if (is_default_pool(driver, pool, device))
            return PLACE_DEVICE(device);
    return PLACE_HERE;
}

static int place_of_pool(CUmemoryPool pool)
{
    pthread_mutex_lock(&lock);
    const struct pool_place *known = table_first(&pools, (uint64_t)(uintptr_t)pool);
    int place = known ? known->place : PLACE_HERE;
    pthread_mutex_unlock(&lock);
    if (known)
        return place;
    place = place_of_given(pool);
    if (place != PLACE_HERE)
        place_pool_made(pool, place);
    return place;
}

static bool is_captured(CUstream stream, bool per_thread)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    return capture_is_active() && driver &&
           capture_includes(driver, per_thread && !stream ? CU_STREAM_PER_THREAD : stream);
}

int place_of_work(CUstream stream, bool per_thread)
{
    return is_captured(stream, per_thread) ? PLACE_GRAPH : place_of_stream(stream);
}

int place_of_pool_work(CUmemoryPool pool, CUstream stream, bool per_thread)
{
    return is_captured(stream, per_thread) ? PLACE_GRAPH : place_of_pool(pool);
}

void place_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    pools = (struct table)TABLE_OF(struct pool_place); /* not freed: a change may be incomplete */
}
