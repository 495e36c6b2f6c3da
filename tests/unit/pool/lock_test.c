/* SPDX-License-Identifier: MIT */
/*
 * The lock on its own: one at a time, no wake-up lost, with and without the process-wide barrier.
 *
 * Every hold lasts about as long as a waiter spins before it sleeps, so that releases fall into the
 * moment in which the waiter says so. A lost wake-up shows as a hang, which the alarm ends.
 */
#include "tests/unit/harness.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/base/lock.h"

#define THREADS    4u
#define ROUNDS     40000u
#define PATIENCE_S 120

static struct pool_lock lock = POOL_LOCK_INITIALIZER(BIN);
static unsigned guarded; /* by lock */
static atomic_uint holders, met;

static void hold(unsigned turns)
{
    for (volatile unsigned turn = 0; turn < turns; turn++)
        ;
}

static void *compete(void *number)
{
    unsigned random = (unsigned)(uintptr_t)number;

    for (unsigned round = 0; round < ROUNDS; round++) {
        pool_lock_acquire(&lock);
        atomic_fetch_add_explicit(&met, atomic_fetch_add(&holders, 1), memory_order_relaxed);
        guarded++;
        random = random * 1664525 + 1013904223;
        hold(random >> 20);
        atomic_fetch_sub(&holders, 1);
        pool_lock_release(&lock);
        hold(random >> 22);
    }
    return NULL;
}

static void competition(void)
{
    pthread_t threads[THREADS];

    alarm(PATIENCE_S);
    for (unsigned number = 0; number < THREADS; number++)
        cr_assert_eq(pthread_create(&threads[number], NULL, compete, (void *)(uintptr_t)number), 0);
    for (unsigned number = 0; number < THREADS; number++)
        pthread_join(threads[number], NULL);
    cr_assert_eq(guarded, THREADS * ROUNDS);
    cr_assert_eq(atomic_load(&met), 0);
    cr_assert_not(pool_lock_held(&lock));
}

Test(lock, full_barriers_lose_no_wake_up)
{
    cr_assert_not(atomic_load(&barrier_is_asymmetric));
    competition();
}

Test(lock, the_process_wide_barrier_loses_no_wake_up)
{
    barrier_init();
    competition();
}

static int membarrier_forbid(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
               ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
               : -1;
}

Test(lock, a_sandbox_entered_later_loses_no_wake_up)
{
    barrier_init();
    cr_assert_eq(membarrier_forbid(), 0);
    competition();
    cr_assert_not(atomic_load(&barrier_is_asymmetric));
}

Test(lock, waiters_sleep_while_the_owner_does)
{
    pthread_t thread;

    alarm(PATIENCE_S);
    barrier_init();
    pool_lock_acquire(&lock);
    cr_assert_eq(pthread_create(&thread, NULL, compete, NULL), 0);
    while (!(atomic_load(&lock.sleep) & 1))
        usleep(100);
    pool_lock_release(&lock);
    pthread_join(thread, NULL);
    cr_assert_eq(guarded, ROUNDS);
}
