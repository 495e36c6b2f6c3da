/* SPDX-License-Identifier: MIT */
/*
 * Memory that is not the pool's leaves the ledger before the real free: as soon as that returns,
 * another thread may be given the address.
 */
#include "shim/hooks/release.h"

#include "pool/pool.h"
#include "shim/context/context.h"
#include "shim/hooks/pooled.h"
#include "shim/memory/ledger.h"

/* The driver may wait. */
static int native(const struct release *release, uint64_t address)
{
    thread_cancel_hold();
    return release->native(release, address);
}

static int release_captured(const struct call *call, const struct release *release,
                            uint64_t address)
{
    int result = native(release, address);

    pooled_free_captured(call, address, release->stream, result);
    return result;
}

static int release_foreign(const struct call *call, const struct release *release, uint64_t address)
{
    struct ledger_entry entry = pooled_foreign_take(call, TRACE_MEMORY_DEVICE, address);
    int result = native(release, address);

    pooled_foreign_freed(call, TRACE_MEMORY_DEVICE, address, release->stream, &entry, result);
    return result;
}

/* As in the real function, a thread without a live context gets one or an error. A thread that has
 * one is examined again after a context ended, or its own was taken away (context_api.c). Returns
 * the error of the real function. */
__attribute__((noinline, cold)) static int context_ensure(const struct release *release)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    uint64_t generation = atomic_load(&context_generation);
    CUcontext handle = NULL;
    int error = 0;

    if (shim_mode() != SHIM_POOL || !driver)
        return 0;
    thread_cancel_hold();
    if (REAL_ASK(driver->cuCtxGetCurrent(&handle)) != CUDA_SUCCESS)
        return 0;
    if (!handle || !context_lives(driver, handle))
        error = release->establish(release);
    thread_state.lived_generation = error == 0 ? generation : 0;
    return error;
}

static int release_any(const struct call *call, const struct release *release, uint64_t address)
{
    int result;
    uint64_t refused;
    const struct pooled_request request = {
        .address = address,
        .stream = release->stream,
        .stream_ordered = release->stream_ordered,
    };

    if (!address)
        return native(release, address);
    result = likely(thread_state.lived_generation ==
                    atomic_load_explicit(&context_generation, memory_order_relaxed))
                 ? 0
                 : context_ensure(release);
    if (unlikely(result != 0) && pooled_holds(address)) {
        pooled_refused(call, &request, result);
        return result;
    }
    switch (pooled_free(call, &request, &refused)) {
    case POOLED_FREE_DONE: return 0;
    case POOLED_FREE_INVALID: return native(release, refused);
    case POOLED_FREE_REFUSED:
        result = native(release, refused);
        pooled_refused(call, &request, result);
        return result;
    default:
        return pooled_free_is_captured(&request) ? release_captured(call, release, address)
                                                 : release_foreign(call, release, address);
    }
}

int release_address(struct release *release, const void *code, uint64_t address)
{
    struct call call;

    pool_prefetch(address);
    bool outer = call_begin_pooled(&call, release->hook, code);
    release->library = call.library;
    if (!outer)
        return release->native(release, address);
    int result = release_any(&call, release, address);
    call_end(&call);
    return result;
}
