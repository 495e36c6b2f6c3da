/* SPDX-License-Identifier: MIT */
/*
 * The frame of every hook: the caller, whether this is the outermost hook on the thread, and the
 * start time.
 *
 * Only the outermost call serves and records. Calls that the real function makes underneath,
 * through our own driver hooks, are forwarded. errno is preserved. The fields of a call are in
 * shim/observe/call_info.h.
 *
 * Threading: a struct call lives on one thread's stack.
 */
#ifndef SHIM_HOOKS_CALL_H
#define SHIM_HOOKS_CALL_H

#include <errno.h>

#include "cupti/base/likely.h"
#include "shim/context/thread_state.h"
#include "shim/memory/limit.h"
#include "shim/observe/call_info.h"
#include "shim/observe/live.h"
#include "shim/observe/record.h"
#include "shim/resolve/real.h"
#include "shim/shim.h"

/** As call_begin, for a call that the pool may serve: what leaves its hit path calls
 * thread_cancel_hold(). */
static inline bool call_begin_pooled(struct call *call, enum hook_id hook,
                                     const void *return_address)
{
    call->hook = hook;
    call->library = real_library;
    call->writer = NULL;
    if (unlikely(shim_mode() == SHIM_OFF) || thread_state.depth)
        return false;
    thread_state.depth = 1;
    call->saved_errno = errno;
    call->stack = 0;
    call->caller = caller_get(return_address);
    call->writer = record_writer();
    call->begin_ns = call->writer ? trace_writer_now(call->writer) : live_clock_ns();
    return true;
}

/** True when this call is to be served and recorded here; otherwise it is only forwarded. */
static inline bool call_begin(struct call *call, enum hook_id hook, const void *return_address)
{
    bool outer = call_begin_pooled(call, hook, return_address);

    if (outer)
        thread_cancel_hold();
    return outer;
}

/** Closes what call_begin opened with true. */
static inline void call_end(struct call *call)
{
    if (unlikely(call->begin_ns >=
                 atomic_load_explicit(&record_next_tick_ns, memory_order_relaxed)))
        record_tick(call->begin_ns);
    thread_state.depth = 0;
    if (unlikely(thread_state.uncancelled)) {
        limit_hold_end();
        thread_cancel_allow();
    }
    errno = call->saved_errno;
}

/** What a failed function of the driver says of the contexts. Call it without a lock of ours. */
void call_failed(int result);

/** Looks at the result of a real function of the driver, at any depth: the runtime's own calls show
 * faults as well as the program's. */
static inline CUresult call_observe(CUresult result)
{
    if (unlikely(result != CUDA_SUCCESS))
        call_failed((int)result);
    return result;
}

/** True when a pool may serve this call. */
static inline bool call_may_pool(const struct call *call)
{
    return shim_mode() == SHIM_POOL && !call->caller->exempt;
}

/* First in a hook, before any other call: the table that holds its real function. */
#define CALL_REAL_RUNTIME() real_runtime_at(real_library)
#define CALL_REAL_DRIVER()  real_driver()

#endif
