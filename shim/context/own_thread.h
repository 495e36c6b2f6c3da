/* SPDX-License-Identifier: MIT */
/* Threads of the library in the program's process. */
#ifndef SHIM_CONTEXT_OWN_THREAD_H
#define SHIM_CONTEXT_OWN_THREAD_H

#include <pthread.h>
#include <signal.h>

/**
 * Starts a detached thread that gets no signals: they are for the program's threads. *ret_before is
 * the caller's signal mask, set before the thread begins. Returns 0 or -errno.
 */
static inline int own_thread_start(void *(*run)(void *argument), void *argument,
                                   sigset_t *ret_before)
{
    pthread_t thread;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, ret_before);
    int error = pthread_create(&thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, ret_before, NULL);
    if (error == 0)
        pthread_detach(thread);
    return -error;
}

#endif
