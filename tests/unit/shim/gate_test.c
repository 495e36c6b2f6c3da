/* SPDX-License-Identifier: MIT */
/*
 * The gate: nobody is inside while it is closed, with more threads than it has slots too.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "shim/context/gate.h"
#include "tests/unit/harness.h"

#define STEPS 20000

static atomic_int inside, met;
static atomic_bool stop;

static void *pass(void *unused)
{
    while (!atomic_load(&stop)) {
        gate_enter();
        atomic_fetch_add(&inside, 1);
        atomic_fetch_sub(&inside, 1);
        gate_leave();
    }
    return NULL;
}

Test(gate, closing_waits_for_everybody)
{
    pthread_t threads[4];

    cr_assert_eq(gate_init(), 0);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, pass, NULL), 0);
    for (int i = 0; i < STEPS / 10; i++) {
        gate_close();
        for (int look = 0; look < 20; look++)
            atomic_fetch_add(&met, atomic_load(&inside));
        gate_open();
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&met), 0);
}

static atomic_bool entered, closed;

static void *close_once(void *unused)
{
    while (!atomic_load(&entered))
        sched_yield();
    gate_close();
    atomic_store(&closed, true);
    gate_open();
    return NULL;
}

/* Whoever is inside when the closing begins: given the time, it must not end. */
Test(gate, closing_does_not_end_while_somebody_is_inside)
{
    pthread_t closer;

    cr_assert_eq(gate_init(), 0);
    cr_assert_eq(pthread_create(&closer, NULL, close_once, NULL), 0);
    gate_enter();
    atomic_store(&entered, true);
    while (!atomic_load(&gate_closed) && !atomic_load(&closed))
        sched_yield();
    for (int look = 0; look < 200 && !atomic_load(&closed); look++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_not(atomic_load(&closed));
    gate_leave();
    pthread_join(closer, NULL);
    cr_assert(atomic_load(&closed));
}

/* Who may be inside already, or would have to wait, stays out. */
Test(gate, trying_neither_nests_nor_waits)
{
    cr_assert_eq(gate_init(), 0);
    cr_assert(gate_try_enter());
    cr_assert_not(gate_try_enter());
    gate_leave();
    gate_enter();
    cr_assert_not(gate_try_enter());
    gate_leave();
    gate_close();
    cr_assert_not(gate_try_enter());
    gate_open();
    cr_assert(gate_try_enter());
    gate_leave();
}

static pthread_barrier_t barrier;

static void *join_and_wait(void *shared)
{
    gate_enter();
    gate_leave();
    atomic_fetch_add((atomic_int *)shared, thread_state.gate_shared);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 10; i++) {
        gate_enter();
        gate_leave();
    }
    return NULL;
}

Test(gate, threads_beyond_the_slots_share_one)
{
    enum { THREADS = 600 };
    static pthread_t threads[THREADS];
    static atomic_int shared;
    pthread_attr_t small;
    cr_assert_eq(gate_init(), 0);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], &small, join_and_wait, &shared), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_gt(atomic_load(&shared), 0);
    cr_assert_lt(atomic_load(&shared), THREADS / 2);
    /* What ended has left, and its slots serve again. */
    gate_close();
    gate_open();
    atomic_store(&shared, 0);
    pthread_barrier_destroy(&barrier);
    pthread_barrier_init(&barrier, NULL, 1);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[0], &small, join_and_wait, &shared), 0);
        pthread_join(threads[0], NULL);
    }
    cr_assert_eq(atomic_load(&shared), 0);
}
