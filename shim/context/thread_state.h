/* SPDX-License-Identifier: MIT */
/*
 * Per-thread state of the shim. Initial-exec thread-local storage, so that an access never
 * allocates and never enters the loader.
 */
#ifndef SHIM_CONTEXT_THREAD_STATE_H
#define SHIM_CONTEXT_THREAD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/base/likely.h"

struct context;
struct gate_slot;

/** Room on a device that a request of the thread holds until it is counted; bytes 0: none. */
struct held_room {
    int device;
    size_t bytes;
};

#define HELD_ROOMS 4 /* devices on which one request may take memory */

struct thread_state {
    unsigned depth;   /* hooks entered; only the outermost one serves and records */
    bool uncancelled; /* by thread_cancel_hold(), until the outermost hook returns */
    bool gate_shared;
    struct gate_slot *gate; /* NULL before the first pool operation */
    void *context_handle;   /* of the context seen last */
    uint64_t context_generation;
    uint64_t lived_generation; /* when an allocation or a free last saw a live context; 0: never */
    int64_t unpublished_bytes; /* taken less given back since the live page was last due */
    struct context *context;   /* valid while handle and generation are the current ones */
    struct context *ending;    /* the thread is inside a call that ends it */
    struct held_room held[HELD_ROOMS];
};

extern _Thread_local struct thread_state thread_state __attribute__((visibility("hidden")));

void thread_cancel_hold_slow(void);
void thread_cancel_allow_slow(void);

/**
 * Inside a hook: from here until it returns a pthread_cancel of this thread waits. It would leave
 * the gate and locks held, and thread_state.depth. A hit, which cannot be interrupted, does not
 * need this; what leaves the hit path does.
 */
static inline void thread_cancel_hold(void)
{
    if (!thread_state.uncancelled)
        thread_cancel_hold_slow();
}

static inline void thread_cancel_allow(void)
{
    if (unlikely(thread_state.uncancelled))
        thread_cancel_allow_slow();
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
