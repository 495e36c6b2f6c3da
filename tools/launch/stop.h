/* SPDX-License-Identifier: MIT */
/*
 * Stops this process as its program has stopped, without losing the signal that continues both.
 *
 * A stop signal discards a pending SIGCONT, so "stop unless a SIGCONT has come" must be one step.
 * A thread that blocks the stop signals has one of each pending from before the program can have
 * stopped. The kernel discards them when a SIGCONT comes; and the thread stops the process by no
 * longer blocking one: it acts if it is still there. A signal of the thread does not merge with
 * those of the process, which are passed on to the program.
 *
 * SIGSTOP cannot be blocked, and in an orphaned process group only SIGSTOP stops. There a SIGCONT
 * to this process alone is lost between the look for it and the stop.
 *
 * While this process is stopped, a guard (a child) watches the program: if it goes on or ends
 * without this process, the guard continues this process, too.
 *
 * Threading: one thread.
 */
#ifndef TOOLS_LAUNCH_STOP_H
#define TOOLS_LAUNCH_STOP_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/** The signals that stop, but SIGSTOP. */
#define STOP_SIGNALS 3
extern const int stop_signals[STOP_SIGNALS];

struct stopper {
    pthread_t thread;
    bool has_thread; /* else SIGCONT may be lost in any stop */
    int signal;      /* to stop by; 0: the thread ends. Passed on by the semaphores */
    sem_t wanted, done;
    struct sigaction before[STOP_SIGNALS];
};

/** Before the program is started. The caller blocks the stop signals and SIGCONT. */
void stopper_start(struct stopper *stopper);

/** In the program before it is executed: the stop signals as they were. */
void stopper_restore(const struct stopper *stopper);

void stopper_end(struct stopper *stopper);

/** After a SIGCONT was taken, and before it is passed on. */
void stopper_arm(struct stopper *stopper);

/**
 * Whether a stop signal that was taken is over: a SIGCONT waits, so it came later. If both went to
 * the whole group, the program has continued, and the witness no longer shows the stop signal.
 */
bool stop_is_over(int signal);

/**
 * Stops until a SIGCONT comes, unless one is pending, or the program does not stay stopped. Takes
 * the SIGCONT. False: the program went on or ended without a SIGCONT for this process.
 */
bool stopper_stop(struct stopper *stopper, int signal, pid_t program);

#endif
