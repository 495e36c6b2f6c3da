/* SPDX-License-Identifier: MIT */
/*
 * One thread at a time waits with a bound. Who is too late to be covered by it waits until it is
 * back. So does who ends the context that it waits in: nobody may be inside the driver with that.
 */
#include "shim/backend/free_wait.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "cupti/base/clock.h"
#include "shim/backend/scope.h"
#include "shim/context/thread_state.h"

#define PAUSE_MIN_NS 20000
#define PAUSE_MAX_NS 5000000
#define END_WAIT_NS  (UINT64_C(4) * 1000000000)

/* The block has one byte; without device memory, page-locked host memory does as well. */
int free_wait(struct context *context)
{
    struct scope scope;
    CUdeviceptr block;
    void *page;
    int error = scope_enter(&scope, context);

    if (error < 0)
        return error;
    if (scope.driver->cuMemAlloc_v2(&block, 1) == CUDA_SUCCESS)
        error = scope_error(REAL_ASK(scope.driver->cuMemFree_v2(block)));
    else if (scope.driver->cuMemHostAlloc &&
             scope.driver->cuMemHostAlloc(&page, 1, 0) == CUDA_SUCCESS)
        error = scope_error(REAL_ASK(scope.driver->cuMemFreeHost(page)));
    else
        error = -EBUSY;
    scope_leave(&scope);
    return error == -EPERM ? -EBUSY : error;
}

/* LEFT: who asked for it did not wait so long. */
enum { NOBODY, WAITS, LEFT, DONE };

static atomic_int state;
static _Atomic(struct context *) waiting_for; /* set by who has set WAITS */
static int outcome;                           /* of DONE */

static void *wait_here(void *unused)
{
    int waits = WAITS;

    (void)unused;
    thread_enter();
    outcome = free_wait(atomic_load(&waiting_for));
    thread_leave();
    if (!atomic_compare_exchange_strong(&state, &waits, DONE))
        atomic_store(&state, NOBODY);
    return NULL;
}

/* Signals are for the program's threads. */
static int thread_start(void)
{
    pthread_t thread;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, wait_here, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_detach(thread);
    return -error;
}

/* Pauses, the longer the more often; false: the time is over. */
static bool pause_until(uint64_t end_ns, long *pause_ns)
{
    if (monotonic_ns() >= end_ns)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = *pause_ns}, NULL);
    *pause_ns = *pause_ns < PAUSE_MAX_NS / 2 ? *pause_ns * 2 : PAUSE_MAX_NS;
    return true;
}

/* Waits until the state is the one wanted; false: not in time. */
static bool state_await(int wanted, uint64_t end_ns)
{
    long pause_ns = PAUSE_MIN_NS;

    while (atomic_load(&state) != wanted)
        if (!pause_until(end_ns, &pause_ns))
            return false;
    return true;
}

int free_wait_until(struct context *context, uint64_t end_ns)
{
    int nobody = NOBODY, waits = WAITS;

    while (!atomic_compare_exchange_strong(&state, &nobody, WAITS)) {
        if (!state_await(NOBODY, end_ns))
            return 0;
        nobody = NOBODY;
    }
    atomic_store(&waiting_for, context);
    if (thread_start() < 0) {
        atomic_store(&state, NOBODY);
        return 0;
    }
    if (!state_await(DONE, end_ns) && atomic_compare_exchange_strong(&state, &waits, LEFT))
        return 0;
    int error = outcome;
    atomic_store(&state, NOBODY);
    return error < 0 ? error : 1;
}

static bool is_inside(const struct context *context)
{
    int now = atomic_load(&state);

    return (now == WAITS || now == LEFT) && atomic_load(&waiting_for) == context;
}

void free_wait_end(const struct context *context)
{
    uint64_t end_ns = monotonic_ns() + END_WAIT_NS;
    long pause_ns = PAUSE_MIN_NS;

    while (is_inside(context) && pause_until(end_ns, &pause_ns))
        ;
}
