/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into cupool: sends it a signal in an instant that is otherwise a matter of luck, once.
 * INSTANT=stop: SIGCONT right before cupool stops itself; again: SIGTSTP right after it was
 * continued; execute: SIGSTOP to the program before it is executed; end: SIGTERM after the program
 * has ended; lost: the program goes on alone, and the signal of that comes right before SIGSTOP;
 * over: SIGCONT to the whole group right after cupool has taken a stop signal.
 * INSTANT=slow: cupool is slow to end its helpers after it was continued.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static atomic_bool past, has_waited;
static pid_t program;

static bool is_now(const char *instant)
{
    const char *wanted = getenv("INSTANT");

    return wanted && !strcmp(program_invocation_short_name, "cupool") && !strcmp(wanted, instant) &&
           !atomic_exchange(&past, true);
}

static void send(int signal)
{
    syscall(SYS_kill, getpid(), signal);
}

static bool stops(int signal)
{
    return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* Returns when SIGCONT has come to this process, which blocks it. */
static void continue_await(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    sigset_t waiting;

    while (sigpending(&waiting) == 0 && sigismember(&waiting, SIGCONT) != 1)
        nanosleep(&pause, NULL);
}

/* The program is the first child. */
pid_t fork(void)
{
    pid_t child = NEXT(fork)();

    if (child > 0 && !program)
        program = child;
    return child;
}

int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    int signal = NEXT(sigwaitinfo)(set, info);

    if (stops(signal) && is_now("over"))
        syscall(SYS_kill, 0, SIGCONT);
    return signal;
}

int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *limit)
{
    has_waited = true;
    return NEXT(sigtimedwait)(set, info, limit);
}

int kill(pid_t pid, int signal)
{
    static const struct timespec slow = {.tv_nsec = 500000000};

    if (pid == getpid() && stops(signal) && is_now("stop"))
        send(SIGCONT);
    if (pid == getpid() && signal == SIGSTOP && is_now("lost")) {
        syscall(SYS_kill, program, SIGCONT);
        continue_await();
    }
    if (signal == SIGKILL && is_now("end"))
        send(SIGTERM);
    if (signal == SIGKILL && has_waited && is_now("slow"))
        nanosleep(&slow, NULL);
    return NEXT(kill)(pid, signal);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    bool any = false;

    for (int signal = 1; set && how == SIG_UNBLOCK && signal < SIGRTMIN; signal++)
        any |= stops(signal) && sigismember(set, signal) == 1;
    if (any && is_now("stop"))
        send(SIGCONT);
    return NEXT(pthread_sigmask)(how, set, before);
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    if (options & WCONTINUED && is_now("again"))
        send(SIGTSTP);
    return NEXT(waitid)(type, id, info, options);
}

int execvp(const char *file, char *const argv[])
{
    if (is_now("execute"))
        send(SIGSTOP);
    return NEXT(execvp)(file, argv);
}
