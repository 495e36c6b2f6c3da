/* SPDX-License-Identifier: MIT */
/*
 * The slow side of the gate: joining, waiting, closing. See gate.h.
 *
 * Why it is correct: a thread sets its flag, then checks whether the gate is closed; the closer
 * closes the gate, then checks the flags. With a barrier between the two steps on both sides, at
 * least one sees the other.
 */
#include "shim/context/gate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define GATE_SLOTS 512 /* threads beyond share the last one */

static struct gate_slot slots[GATE_SLOTS];
static pthread_mutex_t close_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t leave_key;

atomic_bool gate_closed;

/* At thread exit. A later hook on this thread (another key's destructor) joins again. */
static void slot_release(void *slot)
{
    thread_state.gate = NULL;
    if (!thread_state.gate_shared)
        atomic_store(&((struct gate_slot *)slot)->taken, false);
}

int gate_init(void)
{
    int error = pthread_key_create(&leave_key, slot_release);

    if (error)
        return -error;
    barrier_init();
    return 0;
}

void gate_join(void)
{
    struct thread_state *self = &thread_state;
    int i = 0;

    while (i < GATE_SLOTS - 1 && atomic_exchange(&slots[i].taken, true))
        i++;
    self->gate_shared = i == GATE_SLOTS - 1;
    self->gate = &slots[i];
    if (pthread_setspecific(leave_key, self->gate) == 0 || self->gate_shared)
        return;
    atomic_store(&slots[i].taken, false); /* nobody would give it back */
    self->gate = &slots[GATE_SLOTS - 1];
    self->gate_shared = true;
}

void gate_enter_slow(void)
{
    gate_leave();
    pthread_mutex_lock(&close_lock);
    pthread_mutex_unlock(&close_lock);
    gate_enter();
}

bool gate_step_out(void)
{
    const struct thread_state *self = &thread_state;

    if (!self->gate || self->gate_shared ||
        !atomic_load_explicit(&self->gate->inside, memory_order_relaxed))
        return false;
    gate_leave();
    return true;
}

static void slot_wait(struct gate_slot *slot)
{
    for (int tries = 0; atomic_load_explicit(&slot->inside, memory_order_acquire); tries++) {
        if (tries < 100)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

void gate_close(void)
{
    pthread_mutex_lock(&close_lock);
    atomic_store(&gate_closed, true);
    barrier_heavy();
    for (int i = 0; i < GATE_SLOTS; i++)
        slot_wait(&slots[i]);
}

void gate_open(void)
{
    atomic_store_explicit(&gate_closed, false, memory_order_release);
    pthread_mutex_unlock(&close_lock);
}

void gate_fork_child(void)
{
    const struct thread_state *self = &thread_state;

    pthread_mutex_init(&close_lock, NULL);
    atomic_store(&gate_closed, false);
    for (int i = 0; i < GATE_SLOTS; i++) {
        atomic_store(&slots[i].inside, 0);
        atomic_store(&slots[i].taken, &slots[i] == self->gate && !self->gate_shared);
    }
}
