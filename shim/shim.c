/* SPDX-License-Identifier: MIT */
/*
 * Start, fork and end of the library in a process.
 *
 * There is no constructor: a process that never touches CUDA pays for a few symbols and nothing
 * else. A child after fork must not touch what it inherited from the parent's contexts: if the
 * parent had a context, the child forwards everything and records nothing. If it had none, as a
 * server that forks its workers before they use CUDA, the child is a process of its own from its
 * first call on. At exit the trace is closed; no CUDA call is made then, because the driver may
 * already be gone.
 */
#include "shim/shim.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "cupti/base/uncancelled.h"
#include "pool/pool.h"
#include "shim/backend/backend_driver.h"
#include "shim/backend/context_pool.h"
#include "shim/guard/fault.h"
#include "shim/guard/guard.h"
#include "shim/memory/graph_memory.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/memory/physical.h"
#include "shim/memory/place.h"
#include "shim/resolve/caller.h"
#include "shim/context/capture.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/context/green.h"
#include "shim/context/primary_uses.h"
#include "shim/share/share.h"
#include "shim/share/ipc_board.h"
#include "shim/observe/phases.h"
#include "shim/resolve/real.h"
#include "shim/observe/record.h"
#include "shim/options/say.h"

static enum shim_mode first_mode; /* of the process that started first; UNKNOWN: none has */
static _Thread_local bool starting;
static atomic_bool page_is_wiped; /* in a child, by the kernel; else fork handlers alone act */

/* Prints one line for each bad option: the user wrote it and would wait for its effect in vain. */
static void complain(void *state, const char *line)
{
    say_line(line);
}

static void context_made(struct context *context)
{
    record_device(context->device);
    record_context(context, true);
}

static void context_ending(struct context *context)
{
    record_counters(context);
}

static void context_ended(struct context *context)
{
    if (guard_is_on())
        guard_forget_context(context->number);
    ledger_forget_context(context->number);
    limit_forget_context(context);
    share_forget_context(context->number);
    backend_driver_forget(context);
    record_context(context, false);
}

/* Under whatever lock the driver was called. */
static void context_broke(struct context *context, CUresult result)
{
    fault_note(context, result);
}

static const struct context_listener listener = {
    .made = context_made,
    .pool_make = context_pool_make,
    .broke = context_broke,
    .ending = context_ending,
    .ended = context_ended,
};

static void child_begin(void)
{
    UNCANCELLED;
    bool used = context_fork_child();

    pool_fork_child();
    gate_fork_child();
    green_fork_child();
    primary_uses_fork_child();
    capture_fork_child();
    ledger_fork_child();
    place_fork_child();
    physical_fork_child();
    graph_memory_fork_child();
    guard_fork_child();
    record_fork_child();
    phases_fork_child();
    caller_fork_child();
    real_fork_child();
    share_fork_child();
    atomic_store(&shim_page.now.mode, used ? SHIM_OFF : first_mode);
}

/* The program's own handlers may run before this one, and start the child's use of the library. */
static void fork_child(void)
{
    if (atomic_load(&page_is_wiped) && atomic_load(&shim_page.now.mode) != SHIM_UNKNOWN)
        return;
    pthread_mutex_init(&shim_page.now.start_lock, NULL);
    child_begin();
}

static enum shim_mode mode_of(int option)
{
    switch (option) {
    case OPTION_MODE_OBSERVE: return SHIM_OBSERVE;
    case OPTION_MODE_POOL: return SHIM_POOL;
    default: return SHIM_OFF;
    }
}

enum shim_mode shim_start(void)
{
    UNCANCELLED;
    if (starting)
        return SHIM_OFF;
    starting = true;
    atomic_store(&page_is_wiped, !madvise(&shim_page, sizeof(shim_page), MADV_WIPEONFORK));
    pthread_mutex_lock(&shim_page.now.start_lock);
    int mode = atomic_load(&shim_page.now.mode);
    if (mode == SHIM_UNKNOWN && first_mode != SHIM_UNKNOWN) {
        child_begin(); /* no fork handler of ours has run in this child */
        mode = atomic_load(&shim_page.now.mode);
    }
    if (mode == SHIM_UNKNOWN) {
        options_load(&mode_options, complain, NULL);
        mode = mode_of(mode_options.mode);
        context_listen(&listener);
        if (mode == SHIM_POOL)
            guard_start();
        /* Without a fork handler a child could touch its parent's memory, which would be unsafe.
         * Nothing is locked at a fork: a handler of the program may allocate and free. */
        if (mode != SHIM_OFF && (gate_init() < 0 || pthread_atfork(NULL, NULL, fork_child)))
            mode = SHIM_OFF;
        first_mode = mode;
        atomic_store_explicit(&shim_page.now.mode, mode, memory_order_release);
    }
    pthread_mutex_unlock(&shim_page.now.start_lock);
    starting = false;
    return mode;
}

__attribute__((destructor)) static void shim_end(void)
{
    UNCANCELLED;
    int mode = atomic_load(&shim_page.now.mode);

    if (mode == SHIM_OBSERVE || mode == SHIM_POOL) {
        record_close();
        ipc_board_close();
    }
}
