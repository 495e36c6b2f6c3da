/* SPDX-License-Identifier: MIT */
#include "pool/base/barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

atomic_bool barrier_is_asymmetric;

static bool membarrier(int command)
{
    int saved_errno = errno;
    bool done = syscall(SYS_membarrier, command, 0, 0) == 0;

    errno = saved_errno;
    return done;
}

void barrier_init(void)
{
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
        atomic_store_explicit(&barrier_is_asymmetric, true, memory_order_release);
}

/* Longer than any processor delays a store. */
static void stores_wait(void)
{
    int saved_errno = errno;

    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    errno = saved_errno;
}

/* Always uses the full barrier: testing whether barrier_init() was called would race with the
 * other side's cheap barrier, and then neither would have executed one. */
void barrier_heavy(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    bool done = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    if (!done && atomic_exchange(&barrier_is_asymmetric, false))
        stores_wait(); /* a sandbox that the program has entered since forbids the call */
}
