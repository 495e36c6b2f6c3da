/* SPDX-License-Identifier: MIT */
/*
 * Per-thread state of the shim. Initial-exec thread-local storage, so that an access never
 * allocates and never enters the loader.
 */
#ifndef SHIM_CONTEXT_THREAD_STATE_H
#define SHIM_CONTEXT_THREAD_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct context;
struct gate_slot;

struct thread_state {
    unsigned depth;   /* hooks entered; only the outermost one serves and records */
    bool uncancelled; /* by thread_cancel_hold(), until the outermost hook returns */
    bool gate_shared;
    struct gate_slot *gate; /* NULL before the first pool operation */
    void *context_handle;   /* of the context seen last */
    uint64_t context_generation;
    int64_t unpublished_bytes; /* taken less given back since the live page was last due */
    struct context *context;   /* valid while handle and generation are the current ones */
};

extern _Thread_local struct thread_state thread_state __attribute__((visibility("hidden")));

/**
 * Inside a hook: from here until it returns a pthread_cancel of this thread waits. It would leave
 * the gate and locks held, and thread_state.depth. A hit, which cannot be interrupted, does not
 * need this; what leaves the hit path does.
 */
static inline void thread_cancel_hold(void)
{
    int before = PTHREAD_CANCEL_DISABLE;
    if (thread_state.uncancelled)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    thread_state.uncancelled = before == PTHREAD_CANCEL_ENABLE; /* else it is not ours to end */
}

static inline void thread_cancel_allow(void)
{
    if (!thread_state.uncancelled)
        return;
    thread_state.uncancelled = false;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}

/** Work of our own, which a hook or a callback beneath it only forwards. */
static inline void thread_enter(void)
{
    thread_cancel_hold();
    thread_state.depth++;
}

static inline void thread_leave(void)
{
    if (--thread_state.depth == 0)
        thread_cancel_allow();
}

#endif
