/* SPDX-License-Identifier: MIT */
/*
 * The test touches no stream but the request's, because another may capture, and what a refusal
 * says of that stream is not remembered. A context has one block for it, which the next test uses
 * again; with the context it ends.
 */
#include "shim/backend/ordered_free.h"

#include "cupti/base/backoff.h"
#include "shim/backend/backend_driver.h"
#include "shim/backend/scope.h"
#include "shim/context/capture.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"

#define OTHER_WAIT_NS (UINT64_C(100) * 1000000)

/* For an idle device to say that it is: at a time, and in all. */
#define IDLE_WAIT_NS  (UINT64_C(20) * 1000000)
#define IDLE_WAITS_NS (10 * IDLE_WAIT_NS)

/* Of context->test_block, beside addresses. */
enum { NONE, IN_USE };

atomic_bool ordered_free_kept;

/* Takes the context's block, NONE if it is yet to be made. False: another thread has it for long.
 */
static bool block_claim(struct context *context, CUdeviceptr *ret_block)
{
    uint64_t end_ns = monotonic_ns() + OTHER_WAIT_NS;
    struct backoff backoff = {0};
    uint64_t block = atomic_exchange(&context->test_block, IN_USE);

    while (block == IN_USE && backoff_pause(&backoff, end_ns))
        block = atomic_exchange(&context->test_block, IN_USE);
    *ret_block = block;
    return block != IN_USE;
}

static void block_keep(struct context *context, CUdeviceptr block)
{
    atomic_store(&ordered_free_kept, true);
    atomic_store(&context->test_block, block);
}

/* Out of memory: for the pool's free that is no reason to fail. */
static CUresult test(const struct driver_functions *driver, struct context *context,
                     CUstream stream)
{
    CUdeviceptr block;
    CUresult result = block_claim(context, &block) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;

    if (result == CUDA_SUCCESS && block == NONE) {
        result = driver->cuMemAlloc_v2(&block, 1);
        if (result == CUDA_ERROR_OUT_OF_MEMORY)
            result = driver->cuMemAlloc_v2(&block, 1);
        if (result != CUDA_SUCCESS)
            atomic_store(&context->test_block, NONE);
    }
    if (result != CUDA_SUCCESS)
        return result;
    result = driver->cuMemFreeAsync(block, stream);
    if (result == CUDA_SUCCESS)
        atomic_store(&context->test_block, NONE);
    else
        block_keep(context, block);
    return result == CUDA_ERROR_OUT_OF_MEMORY ? CUDA_ERROR_UNKNOWN : result;
}

bool ordered_free_accepted(const struct driver_functions *driver, CUstream stream)
{
    enum { UNKNOWN, ACCEPTS, REFUSES };
    static atomic_int answer;
    CUstreamCaptureMode mode;
    int known = atomic_load_explicit(&answer, memory_order_relaxed);

    if (known != UNKNOWN || !driver->cuMemFreeAsync) {
        ordered_free_return(ORDERED_FREE_ANYWHERE);
        return known == ACCEPTS;
    }
    struct context *context = context_current(driver);
    if (!context)
        return false;
    bool relaxed = capture_mode_relax(driver, &mode);
    CUresult result = test(driver, context, stream);
    if (relaxed)
        capture_mode_restore(driver, mode);
    if (result == CUDA_SUCCESS || result == CUDA_ERROR_INVALID_VALUE)
        atomic_store_explicit(&answer, result == CUDA_SUCCESS ? ACCEPTS : REFUSES,
                              memory_order_relaxed);
    ordered_free_return(context->device);
    return result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY;
}

static bool is_idle(struct context *context)
{
    static _Atomic uint64_t waited_ns;
    uint64_t begin_ns = monotonic_ns();
    bool idle = backend_driver_idle_await(
        context, atomic_load(&waited_ns) < IDLE_WAITS_NS ? IDLE_WAIT_NS : 0);

    if (!idle)
        atomic_fetch_add(&waited_ns, monotonic_ns() - begin_ns);
    return idle;
}

/* A thread that tests meanwhile makes a new one. */
static bool block_return(struct context *context)
{
    uint64_t block = atomic_load(&context->test_block);
    struct scope scope;

    if (block == NONE || block == IN_USE)
        return false;
    if (!is_idle(context) || scope_enter(&scope, context) < 0) {
        atomic_store(&ordered_free_kept, true);
        return false;
    }
    bool returned = atomic_compare_exchange_strong(&context->test_block, &block, NONE) &&
                    REAL_ASK(scope.driver->cuMemFree_v2(block)) == CUDA_SUCCESS;
    scope_leave(&scope);
    return returned;
}

bool ordered_free_return_slow(int device)
{
    bool returned = false;

    thread_enter();
    atomic_store(&ordered_free_kept, false);
    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context))
        if (device == ORDERED_FREE_ANYWHERE || context->device == device)
            returned |= block_return(context);
    gate_leave();
    thread_leave();
    return returned;
}
