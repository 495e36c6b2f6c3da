/* SPDX-License-Identifier: MIT */
/*
 * The limit. See limit.h.
 */
#include "shim/memory/limit.h"

#include "cupti/replay/memory_kind.h"
#include "shim/context/context.h"
#include "shim/memory/ledger.h"
#include "shim/memory/place.h"
#include "shim/options/mode.h"

bool limit_is_set(void)
{
    const struct option_size *limit = &shim_options()->limit;

    return mode_now() == SHIM_POOL && (limit->bytes || limit->device_ppm);
}

size_t limit_bytes(const struct driver_functions *driver, int device)
{
    const struct option_size *limit = &shim_options()->limit;
    size_t total;

    if (!limit_is_set())
        return SIZE_MAX;
    if (limit->bytes)
        return limit->bytes;
    if (!driver->cuDeviceTotalMem_v2 ||
        REAL_ASK(driver->cuDeviceTotalMem_v2(&total, device)) != CUDA_SUCCESS)
        return SIZE_MAX;
    return (size_t)((unsigned __int128)total * limit->device_ppm / 1000000);
}

size_t limit_used_bytes(int device)
{
    return ledger_device_bytes(device);
}

bool limit_admits(const struct driver_functions *driver, int device, size_t bytes)
{
    size_t limit = limit_bytes(driver, device);
    size_t used = limit == SIZE_MAX ? 0 : limit_used_bytes(device);

    return used <= limit && bytes <= limit - used;
}

bool limit_hold(const struct driver_functions *driver, int device, size_t bytes)
{
    size_t limit = limit_bytes(driver, device);

    return limit == SIZE_MAX || ledger_hold(device, bytes, limit);
}

bool limit_hold_at(const struct driver_functions *driver, enum trace_memory memory, int place,
                   size_t bytes)
{
    if (!limit_is_set() || place == PLACE_GRAPH ||
        !memory_kind(place_memory(memory, place))->takes_device)
        return true;
    int device = place_device(place);
    return device == LEDGER_HOST || limit_hold(driver, device, bytes);
}

bool limit_hold_here(const struct driver_functions *driver, enum trace_memory memory, size_t bytes)
{
    return limit_hold_at(driver, memory, PLACE_HERE, bytes);
}

void limit_hold_end(void)
{
    ledger_hold_end();
}

bool limit_take_segment(const struct driver_functions *driver, struct context *context,
                        size_t bytes)
{
    if (!ledger_device_add(context->device, bytes, limit_bytes(driver, context->device)))
        return false;
    atomic_fetch_add_explicit(&context->segment_bytes, bytes, memory_order_relaxed);
    return true;
}

void limit_give_segment(struct context *context, size_t bytes)
{
    atomic_fetch_sub_explicit(&context->segment_bytes, bytes, memory_order_relaxed);
    ledger_device_remove(context->device, bytes);
}

void limit_forget_context(struct context *context)
{
    ledger_device_remove(context->device, atomic_exchange_explicit(&context->segment_bytes, 0,
                                                                   memory_order_relaxed));
}
