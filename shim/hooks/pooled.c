/* SPDX-License-Identifier: MIT */
/*
 * The path of an allocation and of a free. See pooled.h.
 *
 * In two situations a call goes to the real function even though the pool could serve it: a capture
 * forbids the call (the driver must refuse it and invalidate the capture), or an earlier fault
 * broke the context (the driver must say so).
 */
#include "shim/hooks/pooled.h"

#include <errno.h>

#include "cupti/base/likely.h"
#include "cupti/replay/memory_kind.h"
#include "pool/pool.h"
#include "shim/backend/ordered_free.h"
#include "shim/context/capture.h"
#include "shim/share/claims.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/guard/guard.h"
#include "shim/memory/guarded.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/memory/place.h"

static const enum trace_outcome outcomes[] = {
    [POOL_OUTCOME_HIT] = TRACE_OUTCOME_HIT,
    [POOL_OUTCOME_MISS] = TRACE_OUTCOME_MISS,
    [POOL_OUTCOME_WAITED] = TRACE_OUTCOME_WAITED,
};

/* A capture is in progress: the driver is asked. */
static __attribute__((noinline, cold)) bool capture_forbids(const struct driver_functions *driver)
{
    thread_cancel_hold();
    return capture_forbids_here(driver);
}

/* Not inlined: the record would occupy the stack of callers that continue into the pool. */
static __attribute__((noinline)) void block_record(const struct call *call,
                                                   const struct pool_block *block,
                                                   const void *stream, bool freed)
{
    const struct context *owner = freed ? block->owner : NULL; /* it need not be current */
    const struct record_block record = {
        .memory = TRACE_MEMORY_DEVICE,
        .outcome = freed ? TRACE_OUTCOME_HIT : outcomes[block->outcome],
        .address = block->address,
        .requested_bytes = block->requested_bytes,
        .allocated_bytes = block->allocated_bytes,
        .stream = stream,
        .context = owner ? owner->number : 0,
        .place = owner ? PLACE_DEVICE(owner->device) : PLACE_HERE,
    };

    if (freed)
        record_free(call, &record);
    else
        record_allocate(call, &record);
}

static inline void record_pooled(const struct call *call, const struct pool_block *block,
                                 const void *stream, bool freed)
{
    if (call->writer || live_is_on())
        block_record(call, block, stream, freed);
}

static inline int block_allocate(struct context *context, size_t bytes, uint32_t site,
                                 struct pool_block *ret_block)
{
    if (unlikely(guard_is_on())) {
        thread_cancel_hold();
        return guard_allocate(context, bytes, site, ret_block);
    }
    return pool_allocate(context->pool, bytes, site, ret_block);
}

static inline int block_free(uint64_t address, uint32_t site, struct pool_block *ret_block)
{
    if (unlikely(guard_is_on())) {
        thread_cancel_hold();
        return guard_free(address, site, ret_block);
    }
    return pool_free(address, site, ret_block);
}

static inline void errors_settle(void)
{
    if (unlikely(guard_is_on()))
        guard_settle();
}

int pooled_allocate(const struct call *call, size_t bytes, uint64_t *ret_address)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    struct context *context = driver ? context_current(driver) : NULL;
    struct pool_block block;

    if (!context)
        return -ENODEV;
    if (!context->pool || atomic_load_explicit(&context->broken, memory_order_relaxed) ||
        (unlikely(capture_is_active()) && capture_forbids(driver)))
        return -EPERM;
    uint32_t site = call_stack(call);
    gate_enter();
    int error = context_life(context) != CONTEXT_LIVES
                    ? -EIO
                    : block_allocate(context, bytes, site, &block);
    gate_leave();
    errors_settle();
    if (error < 0)
        return error;
    record_pooled(call, &block, NULL, false);
    *ret_address = block.address;
    return 0;
}

/* No driver allocation begins at an odd address. */
static uint64_t never_a_base(uint64_t address)
{
    return address | 1;
}

/* True while a capture makes the driver refuse this free. */
static bool capture_refuses(const struct pooled_request *request)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    if (likely(!capture_is_active()) || !driver)
        return false;
    thread_cancel_hold();
    return request->stream_ordered ? capture_includes(driver, request->stream)
                                   : capture_forbids_here(driver);
}

static bool is_pooled(uint64_t address, struct context **ret_context)
{
    struct pool_block block;
    struct pool *pool;

    gate_enter();
    bool pooled = guarded_find(address, &block, &pool) == 0;
    *ret_context = pooled ? context_of_pool(pool) : NULL;
    gate_leave();
    return pooled;
}

bool pooled_holds(uint64_t address)
{
    struct context *context;

    return is_pooled(address, &context);
}

/* True when the driver has to refuse the free of a pooled block, whatever the pool says. */
static bool driver_refuses(const struct pooled_request *request)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    bool capturing = capture_refuses(request);
    bool broken = atomic_load_explicit(&context_broken_count, memory_order_relaxed) != 0;
    struct context *context;

    if (likely(!capturing && !broken && !request->stream_ordered) || !driver)
        return false;
    thread_cancel_hold();
    if (!is_pooled(request->address, &context))
        return false;
    return capturing || (context && atomic_load(&context->broken)) ||
           (request->stream_ordered && !ordered_free_accepted(driver, request->stream));
}

/* A pool outlives its context for a moment, in which its addresses may already be others'. */
static __attribute__((noinline, cold)) bool has_ended(uint64_t address)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    thread_cancel_hold();
    gate_enter();
    const struct pool *pool = pool_at(address);
    const struct context *context = pool ? context_of_pool(pool) : NULL;
    gate_leave();
    return driver && pool && (!context || context_ended_meanwhile(driver, context));
}

/* While a stream captures, a free waits as natively: its fence cannot be recorded before work that
 * begins later, and an allocation would wait for that. Returns the pool to wait for. */
static __attribute__((noinline, cold)) struct pool *capture_awaits(
    const struct pooled_request *request)
{
    struct pool *pool;

    thread_cancel_hold();
    return !request->stream_ordered && guarded_find(request->address, NULL, &pool) == 0 ? pool
                                                                                        : NULL;
}

enum pooled_free pooled_free(const struct call *call, const struct pooled_request *request,
                             uint64_t *ret_pointer)
{
    struct pool_block block = {0};

    *ret_pointer = request->address;
    if (shim_mode() != SHIM_POOL)
        return POOLED_FREE_FOREIGN;
    if (driver_refuses(request)) {
        *ret_pointer = never_a_base(request->address);
        return POOLED_FREE_REFUSED;
    }
    if (unlikely(atomic_load_explicit(&context_ending_count, memory_order_relaxed) != 0) &&
        has_ended(request->address))
        return POOLED_FREE_FOREIGN;
    uint32_t site = call_site(call);
    claims_end(request->address);
    gate_enter();
    struct pool *awaiting = unlikely(capture_is_active()) ? capture_awaits(request) : NULL;
    int error = block_free(request->address, site, call->writer || live_is_on() ? &block : NULL);
    if (unlikely(awaiting != NULL) && error == 0)
        pool_frees_close(awaiting);
    gate_leave();
    errors_settle();
    if (error == -ENOENT)
        return POOLED_FREE_FOREIGN;
    if (error < 0) {
        record_invalid_free(call, request->address, CUDA_ERROR_INVALID_VALUE, block.allocation_site,
                            block.free_site);
        *ret_pointer = never_a_base(request->address);
        return POOLED_FREE_INVALID;
    }
    record_pooled(call, &block, request->stream, true);
    return POOLED_FREE_DONE;
}

void pooled_refused(const struct call *call, const struct pooled_request *request, int result)
{
    struct pool_block block = {0};

    gate_enter();
    bool known = guarded_find(request->address, &block, NULL) == 0 && block.live &&
                 block.address == request->address;
    gate_leave();
    if (known)
        record_free_refused(call,
                            &(struct record_block){
                                .memory = TRACE_MEMORY_DEVICE,
                                .address = request->address,
                                .requested_bytes = block.requested_bytes,
                                .stream = request->stream,
                            },
                            result);
    else
        record_invalid_free(call, request->address, result, block.allocation_site, block.free_site);
}

bool pooled_accounts(const struct call *call)
{
    return call->writer || limit_is_set() || live_is_on();
}

void pooled_foreign_taken(const struct call *call, const struct record_block *block)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    if (!pooled_accounts(call) || !block->address)
        return;
    bool owned = block->place != PLACE_MANAGED && memory_kind(block->memory)->with_context;
    const struct context *context = owned && driver ? context_current(driver) : NULL;
    ledger_put(&(struct ledger_entry){
        .address = block->address,
        .memory = block->memory,
        .context = context ? context->number : 0,
        .device = place_device(block->place),
        .requested_bytes = block->requested_bytes,
        .allocated_bytes = block->allocated_bytes,
    });
    record_allocate(call, block);
}

void pooled_native_allocated(const struct call *call, uint64_t address, size_t bytes, int result)
{
    const struct record_block block = {
        .memory = TRACE_MEMORY_DEVICE,
        .outcome = TRACE_OUTCOME_PASSED,
        .address = address,
        .requested_bytes = bytes,
        .allocated_bytes = bytes,
    };

    if (result == 0)
        pooled_foreign_taken(call, &block);
    else
        record_allocate_refused(call, &block, result);
}

struct ledger_entry pooled_foreign_take(const struct call *call, enum trace_memory memory,
                                        uint64_t address)
{
    struct ledger_entry entry = {0};

    if (pooled_accounts(call) && address)
        ledger_take(memory, address, &entry);
    return entry;
}

void pooled_foreign_freed(const struct call *call, enum trace_memory memory, uint64_t address,
                          const void *stream, const struct ledger_entry *entry, int result)
{
    const struct record_block block = {
        .memory = entry->address ? entry->memory : memory,
        .outcome = TRACE_OUTCOME_PASSED,
        .address = address,
        .requested_bytes = entry->requested_bytes,
        .allocated_bytes = entry->allocated_bytes,
        .stream = stream,
        .context = entry->context,
        .place = entry->address && entry->device >= 0 ? PLACE_DEVICE(entry->device) : PLACE_HERE,
    };

    if (!pooled_accounts(call) || !address)
        return;
    if (result != 0 && entry->address) {
        ledger_return(entry);
        record_free_refused(call, &block, result);
    } else if (result != 0) {
        record_invalid_free(call, address, result, 0, 0);
    } else if (!entry->references) {
        record_free(call, &block);
    }
}

bool pooled_free_is_captured(const struct pooled_request *request)
{
    return request->stream_ordered && capture_refuses(request);
}

void pooled_free_captured(const struct call *call, uint64_t address, const void *stream, int result)
{
    struct ledger_entry entry = {0};

    if (result == 0)
        return;
    ledger_look_up(TRACE_MEMORY_ASYNC, address, &entry);
    pooled_foreign_freed(call, TRACE_MEMORY_ASYNC, address, stream, &entry, result);
}

/* Whether the request would not fit even if the pools returned all that is not live: then nothing
 * is waited for. Known for the current device only. The driver's free memory counts only after the
 * driver itself has refused: before, its own pools may still return some. */
static bool is_beyond_relief(int device, size_t bytes)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    size_t left, total;
    CUdevice current;

    if (bytes == 0 || !driver || !driver->cuMemGetInfo_v2 ||
        REAL_ASK(driver->cuCtxGetDevice(&current)) != CUDA_SUCCESS || current != device)
        return false;
    uint64_t spare = context_spare_bytes(device);
    if (!limit_admits(driver, device, bytes)) {
        size_t limit = limit_bytes(driver, device), used = limit_used_bytes(device);

        left = limit > used ? limit - used : 0;
    } else if (REAL_ASK(driver->cuMemGetInfo_v2(&left, &total)) != CUDA_SUCCESS) {
        return false;
    }
    return left + spare < bytes;
}

bool pooled_relieve_at(int place, size_t bytes)
{
    int device = shim_mode() == SHIM_POOL ? place_device(place) : LEDGER_HOST;

    if (device == LEDGER_HOST)
        return false;
    bool returned = ordered_free_return(device);
    return (!is_beyond_relief(device, bytes) && context_trim(device) > 0) || returned;
}

bool pooled_relieve(size_t bytes)
{
    return pooled_relieve_at(PLACE_HERE, bytes);
}
