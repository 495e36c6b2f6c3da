/* SPDX-License-Identifier: MIT */
/*
 * The memory functions of include/cupool.h. They act on the pools of the current device, or on all
 * pools where there is no current device.
 */
#define CUPOOL_IMPLEMENTATION
#include "include/cupool.h"

#include <assert.h>
#include <errno.h>

#include "cupti/base/uncancelled.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/shim.h"

static_assert(CUPOOL_NO_POOL == -ENODEV, "the header includes no other");

/** Visits the device's pools one after another; a negative result ends the walk and is returned. */
typedef int pool_visit(struct pool *pool, void *state);

#define EVERY_DEVICE (-1)

static int device_current(void)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    const struct context *context = driver ? context_current(driver) : NULL;

    return context ? context->device : EVERY_DEVICE;
}

static int pools_visit(pool_visit *visit, void *state)
{
    UNCANCELLED;
    int error = CUPOOL_NO_POOL, answer = 0;

    if (shim_mode() != SHIM_POOL)
        return error;
    int device = device_current();
    gate_enter();
    for (struct context *context = context_first(); context && answer >= 0;
         context = context_next(context))
        if (context->pool && (device == EVERY_DEVICE || context->device == device))
            error = answer = visit(context->pool, state);
    gate_leave();
    return error;
}

struct trim {
    uint64_t keep_bytes, returned_bytes;
};

static int pool_visit_trim(struct pool *pool, void *state)
{
    struct trim *trim = state;
    struct pool_memory memory;
    size_t returned = 0;
    int error = pool_trim(pool, trim->keep_bytes, &returned);

    trim->returned_bytes += returned;
    pool_memory_get(pool, &memory);
    trim->keep_bytes -= memory.free_bytes < trim->keep_bytes ? memory.free_bytes : trim->keep_bytes;
    return error;
}

long long cupool_trim(unsigned long long keep_bytes)
{
    struct trim trim = {.keep_bytes = keep_bytes};
    int saved_errno = errno;
    int error = pools_visit(pool_visit_trim, &trim);

    errno = saved_errno;
    return error < 0 ? error : (long long)trim.returned_bytes;
}

static int pool_visit_defragment(struct pool *pool, void *state)
{
    uint64_t *sum_bytes = state, moved_bytes = 0;
    int error = pool_defragment(pool, &moved_bytes);

    *sum_bytes += moved_bytes;
    return error;
}

long long cupool_defragment(void)
{
    uint64_t moved_bytes = 0;
    int saved_errno = errno;
    int error = pools_visit(pool_visit_defragment, &moved_bytes);

    errno = saved_errno;
    return error < 0 ? error : (long long)moved_bytes;
}

static int pool_visit_stats(struct pool *pool, void *state)
{
    struct cupool_pool_stats *sum = state;
    struct pool_memory memory;
    struct pool_statistics figures;

    pool_memory_get(pool, &memory);
    pool_statistics_get(pool, &figures);
    sum->reserved_bytes += memory.reserved_bytes;
    sum->live_bytes += memory.live_bytes;
    sum->quarantined_bytes += memory.quarantined_bytes;
    sum->free_bytes += memory.free_bytes;
    sum->waste_bytes += memory.waste_bytes;
    sum->requested_bytes += figures.live_requested_bytes.current;
    sum->requested_peak_bytes += figures.live_requested_bytes.peak;
    if (memory.largest_free_bytes > sum->largest_free_bytes)
        sum->largest_free_bytes = memory.largest_free_bytes;
    sum->returnable_bytes += memory.returnable_bytes;
    if (memory.backing != POOL_BACKING_MAPPED)
        return 0;
    sum->mapped_bytes += memory.reserved_bytes;
    sum->page_bytes = memory.page_bytes;
    sum->range_bytes += memory.range_bytes;
    sum->hole_bytes += memory.hole_bytes;
    sum->holes += memory.holes;
    sum->stitched_bytes += memory.stitched_bytes;
    return 0;
}

int cupool_pool_stats(struct cupool_pool_stats *ret_stats)
{
    struct cupool_pool_stats sum = {0};
    int saved_errno = errno;
    int error = ret_stats ? pools_visit(pool_visit_stats, &sum) : -EINVAL;

    errno = saved_errno;
    if (error == 0)
        *ret_stats = sum;
    return error;
}
