/* SPDX-License-Identifier: MIT */
/*
 * A separate file because the look-up of symbols needs it before a sanitizer's runtime is ready.
 */
#include "shim/context/thread_state.h"

#include <pthread.h>

_Thread_local struct thread_state thread_state;

/* Not inlined: their variables would be on the stack of what calls the driver. */
__attribute__((noinline, cold)) void thread_cancel_hold_slow(void)
{
    int before = PTHREAD_CANCEL_DISABLE;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    thread_state.uncancelled = before == PTHREAD_CANCEL_ENABLE; /* else it is not ours to end */
}

__attribute__((noinline, cold)) void thread_cancel_allow_slow(void)
{
    thread_state.uncancelled = false;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}
