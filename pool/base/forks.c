/* SPDX-License-Identifier: MIT */
/*
 * A handler in the child counts.
 */
#include "pool/base/forks.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic unsigned forks;

static void child_count(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void handler_install(void)
{
    pthread_atfork(NULL, NULL, child_count);
}

unsigned forks_count(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, handler_install);
    return atomic_load_explicit(&forks, memory_order_relaxed);
}
