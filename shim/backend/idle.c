/* SPDX-License-Identifier: MIT */
/*
 * A pool notices a new allocation only when it is checked, so checks come more often than the idle
 * time itself; but not at every query, because programs query in loops. One thread checks.
 */
#include "shim/backend/idle.h"

#include <errno.h>
#include <stdatomic.h>

#include "cupti/base/clock.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/options/mode.h"

#define LOOKS_IN_TIME 8u

bool idle_watched;
static _Atomic uint64_t between_ns, next_ns;

void idle_watch(uint64_t idle_trim_ns)
{
    if (idle_trim_ns == 0)
        return;
    atomic_store_explicit(&between_ns, idle_trim_ns / LOOKS_IN_TIME, memory_order_relaxed);
    __atomic_store_n(&idle_watched, true, __ATOMIC_RELAXED);
}

/* Whether a check is due, and this thread makes it. */
static bool look_due(void)
{
    uint64_t due_ns = atomic_load_explicit(&next_ns, memory_order_relaxed);
    uint64_t now_ns = monotonic_ns();

    return now_ns >= due_ns &&
           atomic_compare_exchange_strong_explicit(
               &next_ns, &due_ns, now_ns + atomic_load_explicit(&between_ns, memory_order_relaxed),
               memory_order_relaxed, memory_order_relaxed);
}

void idle_look_slow(void)
{
    int saved_errno = errno;

    if (mode_now() == SHIM_POOL && thread_state.depth == 0 && look_due()) {
        thread_enter();
        gate_enter();
        for (struct context *context = context_first(); context; context = context_next(context))
            if (context->pool)
                pool_idle_trim(context->pool);
        gate_leave();
        thread_leave();
    }
    errno = saved_errno;
}
