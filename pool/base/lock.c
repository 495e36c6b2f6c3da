/* SPDX-License-Identifier: MIT */
/*
 * The contended side of the lock, and the rank checker of debug builds.
 *
 * A release clears `held`, passes the cheap side of a barrier, and reads `sleep`. A waiter sets the
 * bit in `sleep`, passes the expensive side, and reads `held`. So either the waiter finds the lock
 * free or the release finds the bit. The release clears the bit by counting a wake-up, and wakes
 * one waiter. A waiter that was about to sleep does not, because `sleep` has changed; a woken
 * thread sets the bit again on behalf of the others. Until then no release makes a system call,
 * however long the woken thread waits for a processor.
 */
#include "pool/base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A critical section takes some tens of nanoseconds, or some microseconds with the backend
 * lock; a pause takes 10 to 60. Going to sleep costs a membarrier, which interrupts every
 * processor, two more system calls and two switches: some tens of microseconds, too. So a
 * waiter that spins that long before it sleeps at most doubles its costs. */
#define SPINS 1000

static inline void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_call(_Atomic uint32_t *word, int operation, uint32_t value)
{
    int saved_errno = errno;

    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
    errno = saved_errno;
}

POOL_NOINLINE void pool_lock_acquire_slow(struct pool_lock *lock)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&lock->held, memory_order_relaxed) == 0 && pool_lock_take(lock))
            return;
        spin_pause();
    }
    for (;;) {
        uint32_t sleep = atomic_fetch_or(&lock->sleep, 1) | 1;

        barrier_heavy();
        if (pool_lock_take(lock))
            return;
        futex_call(&lock->sleep, FUTEX_WAIT, sleep);
    }
}

POOL_NOINLINE void pool_lock_wake(struct pool_lock *lock)
{
    uint32_t sleep = atomic_load_explicit(&lock->sleep, memory_order_relaxed);

    if ((sleep & 1) == 0 ||
        !atomic_compare_exchange_strong_explicit(&lock->sleep, &sleep, sleep + 1,
                                                 memory_order_relaxed, memory_order_relaxed))
        return; /* another release was first, and wakes one */
    futex_call(&lock->sleep, FUTEX_WAKE, 1);
}

#if POOL_DEBUG >= 1

/* How many locks of each rank this thread holds. */
static __thread uint16_t lock_held[POOL_LOCK_RANK_COUNT] __attribute__((tls_model("initial-exec")));

void pool_lock_rank_enter(const struct pool_lock *lock, bool in_order)
{
    for (unsigned rank = lock->rank; in_order && rank < POOL_LOCK_RANK_COUNT; rank++)
        pool_assert(lock_held[rank] == 0);
    lock_held[lock->rank]++;
}

void pool_lock_rank_leave(const struct pool_lock *lock)
{
    pool_assert(lock_held[lock->rank] > 0);
    lock_held[lock->rank]--;
}

void pool_lock_rank_reset(void)
{
    for (unsigned rank = 0; rank < POOL_LOCK_RANK_COUNT; rank++)
        lock_held[rank] = 0;
}

#else

void pool_lock_rank_reset(void)
{
}

#endif
