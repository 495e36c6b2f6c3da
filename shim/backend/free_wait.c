/* SPDX-License-Identifier: MIT */
/*
 * One thread of a context at a time waits with a bound. Who is too late to be covered by it waits
 * until it is back, and if it has not come back for so long already, a moment only: the device was
 * not idle since. Who ends the context waits for the thread, too: nobody may be inside the driver
 * with it.
 */
#include "shim/backend/free_wait.h"

#include <errno.h>
#include <stdatomic.h>

#include "cupti/base/backoff.h"
#include "shim/backend/scope.h"
#include "shim/context/context.h"
#include "shim/context/own_thread.h"
#include "shim/context/thread_state.h"

#define LATE_WAIT_NS (UINT64_C(100) * 1000000)

/* Frees a block of one byte; without device memory, page-locked host memory does as well. False:
 * there is neither. */
static bool byte_free(const struct driver_functions *driver, CUresult *ret_result)
{
    CUdeviceptr block;
    void *page;

    if (driver->cuMemAlloc_v2(&block, 1) == CUDA_SUCCESS)
        *ret_result = REAL_ASK(driver->cuMemFree_v2(block));
    else if (driver->cuMemHostAlloc && driver->cuMemHostAlloc(&page, 1, 0) == CUDA_SUCCESS)
        *ret_result = REAL_ASK(driver->cuMemFreeHost(page));
    else
        return false;
    return true;
}

int free_wait(struct context *context)
{
    struct scope scope;
    CUresult result;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error == -EPERM ? -EBUSY : error;
    scope_step_out(&scope, context);
    bool freed = byte_free(scope.driver, &result);
    scope_step_in(&scope);
    error = freed ? scope_error(result) : -EBUSY;
    scope_leave(&scope);
    return error == -EPERM ? -EBUSY : error;
}

/* LEFT: who asked for it did not wait so long. */
enum { NOBODY, WAITS, LEFT, DONE };

static void *wait_here(void *argument)
{
    struct context *context = argument;
    int waits = WAITS;

    thread_enter();
    context->waiter_outcome = free_wait(context);
    thread_leave();
    if (!atomic_compare_exchange_strong(&context->waiter, &waits, DONE))
        atomic_store(&context->waiter, NOBODY);
    return NULL;
}

/* Waits until the state is the one wanted; false: not in time. */
static bool state_await(const struct context *context, int wanted, uint64_t end_ns)
{
    struct backoff backoff = {0};

    while (atomic_load(&context->waiter) != wanted)
        if (!backoff_pause(&backoff, end_ns))
            return false;
    return true;
}

/* Until when who finds a thread that was left waits for it. */
static uint64_t left_end_ns(const struct context *context, uint64_t most_ns, uint64_t end_ns)
{
    uint64_t enough_ns = atomic_load(&context->waiter_began_ns) + most_ns;
    uint64_t least_ns = monotonic_ns() + LATE_WAIT_NS;

    if (enough_ns < least_ns)
        enough_ns = least_ns;
    return enough_ns < end_ns ? enough_ns : end_ns;
}

int free_wait_most(struct context *context, uint64_t most_ns)
{
    uint64_t end_ns = monotonic_ns() + most_ns;
    int state = NOBODY, waits = WAITS;
    sigset_t before;

    while (!atomic_compare_exchange_strong(&context->waiter, &state, WAITS)) {
        if (state == LEFT)
            end_ns = left_end_ns(context, most_ns, end_ns);
        if (!state_await(context, NOBODY, end_ns))
            return 0;
        state = NOBODY;
    }
    atomic_store(&context->waiter_began_ns, monotonic_ns());
    if (own_thread_start(wait_here, context, &before) < 0) {
        atomic_store(&context->waiter, NOBODY);
        return 0;
    }
    if (!state_await(context, DONE, end_ns) &&
        atomic_compare_exchange_strong(&context->waiter, &waits, LEFT))
        return 0;
    int error = context->waiter_outcome;
    atomic_store(&context->waiter, NOBODY);
    return error < 0 ? error : 1;
}

static bool is_inside(const struct context *context)
{
    int state = atomic_load(&context->waiter);

    return state == WAITS || state == LEFT;
}

void free_wait_end(const struct context *context)
{
    uint64_t end_ns = monotonic_ns() + CONTEXT_END_WAIT_NS;
    struct backoff backoff = {0};

    while (is_inside(context) && backoff_pause(&backoff, end_ns))
        ;
}
