/* SPDX-License-Identifier: MIT */
/*
 * The gate around the pools. Any number of threads may be inside. A thread that ends a pool closes
 * the gate and waits for the others to leave.
 *
 * A pool is found by address, so a free on any thread may reach a pool that is just being
 * destroyed. Passing the gate must cost next to nothing: each thread has its own flag, and the
 * thread that closes the gate pays for the memory ordering of all (pool/base/barrier.h).
 *
 * Threading: enter and leave are paired on one thread and do not nest; a thread inside must not
 * close.
 */
#ifndef SHIM_CONTEXT_GATE_H
#define SHIM_CONTEXT_GATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cupti/base/likely.h"
#include "pool/base/barrier.h"
#include "shim/context/thread_state.h"

struct gate_slot {
    _Alignas(64) atomic_uint inside;
    atomic_bool taken; /* a thread owns this slot */
};

extern atomic_bool gate_closed;

/** Before first use. Negative errno when thread exits cannot be observed. */
int gate_init(void);

void gate_join(void);
void gate_enter_slow(void);

/** In the child after fork: the parent's other threads are not there. */
void gate_fork_child(void);

/** Closes the gate: waits until nobody is inside, and keeps everybody out. */
void gate_close(void);
void gate_open(void);

static inline void gate_enter(void)
{
    struct thread_state *self = &thread_state;

    if (unlikely(!self->gate))
        gate_join();
    if (self->gate_shared)
        atomic_fetch_add(&self->gate->inside, 1);
    else
        atomic_store_explicit(&self->gate->inside, 1, memory_order_relaxed);
    barrier_light();
    if (unlikely(atomic_load_explicit(&gate_closed, memory_order_acquire)))
        gate_enter_slow();
}

/** For a wait without an end: leaves the gate if this thread is inside, until it enters again. What
 * it holds must be pinned. False: it stays as it is, also where other threads share its slot. */
bool gate_step_out(void);

static inline void gate_leave(void)
{
    struct thread_state *self = &thread_state;

    if (self->gate_shared)
        atomic_fetch_sub(&self->gate->inside, 1);
    else
        atomic_store_explicit(&self->gate->inside, 0, memory_order_release);
}

/** Enters without waiting, from any place. False: the gate is closed, or the thread may be inside
 * already. */
static inline bool gate_try_enter(void)
{
    struct thread_state *self = &thread_state;

    if (!self->gate)
        gate_join();
    if (self->gate_shared || atomic_load_explicit(&self->gate->inside, memory_order_relaxed))
        return false;
    atomic_store_explicit(&self->gate->inside, 1, memory_order_relaxed);
    barrier_light();
    if (!atomic_load_explicit(&gate_closed, memory_order_acquire))
        return true;
    gate_leave();
    return false;
}

#endif
