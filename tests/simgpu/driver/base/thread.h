/* SPDX-License-Identifier: MIT */
/*
 * The driver's state per host thread: its stack of contexts, its capture mode, its share of the
 * counters. The pointer is one initial-exec TLS word, so that reading the current context costs a
 * few instructions. Only the owner writes; counters are atomic because others sum them.
 */
#ifndef SIMGPU_DRIVER_BASE_THREAD_H
#define SIMGPU_DRIVER_BASE_THREAD_H

#include "tests/simgpu/driver/base/driver.h"

#define THREAD_CONTEXTS 64

struct thread {
    LIST_ENTRY(thread) link; /* guarded by threads' own lock */
    uint64_t id;             /* never used twice; immutable */
    CUcontext stack[THREAD_CONTEXTS];
    unsigned depth;
    CUstreamCaptureMode capture_mode;
    uint64_t call_bytes; /* of the call in progress, for its cost */
    _Atomic uint64_t virtual_ns;
    _Atomic uint32_t calls[CALL_COUNT];
};

extern __thread struct thread *thread_current __attribute__((tls_model("initial-exec")));

struct thread *thread_create(void);

/** The calling thread's record, made on first use. No lock. */
static inline struct thread *thread_self(void)
{
    struct thread *self = thread_current;

    return likely(self != NULL) ? self : thread_create();
}

/** Sums over all threads, those that ended included. No lock. */
uint64_t threads_virtual_ns(void);
uint64_t threads_calls(enum call_id id);

/** The top of the calling thread's stack of contexts, or NULL. No lock. */
static inline CUcontext thread_context(void)
{
    struct thread *self = thread_self();

    return self->depth ? self->stack[self->depth - 1] : NULL;
}

#endif
