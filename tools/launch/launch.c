/* SPDX-License-Identifier: MIT */
/*
 * Starts and supervises a program. Signals are blocked and taken one by one, so nothing runs in a
 * handler.
 *
 * A signal to the whole process group reaches a program there by itself; one to this process alone
 * has to be forwarded; and a signal itself does not show which it is. So a child in the same group,
 * which only sleeps with all signals blocked, acts as a witness: a signal that is pending there,
 * too, was sent to the group. The kernel delivers a group signal to the youngest member first, so
 * the witness has it when this process sees it. A signal to every process may come in any order, so
 * a moment is waited. A witness that has received something is replaced.
 */
#include "tools/launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/launch/stop.h"

#define WITNESS_LOOKS    4
#define WITNESS_PAUSE_NS 2000000

/* Signals that are neither faults nor about this process's own output; real-time signals are
 * added. */
static const int forwarded[] = {SIGHUP,  SIGINT,    SIGQUIT, SIGABRT, SIGUSR1,  SIGUSR2,   SIGALRM,
                                SIGTERM, SIGSTKFLT, SIGURG,  SIGIO,   SIGWINCH, SIGVTALRM, SIGPROF,
                                SIGPWR,  SIGTSTP,   SIGTTIN, SIGTTOU, SIGCONT};

/* Signals for what this process writes itself: a message without a reader, or a file at its limit.
 */
static const int of_output[] = {SIGPIPE, SIGXFSZ};

#define OF_OUTPUT (sizeof of_output / sizeof *of_output)

/** What was before, for the program to have. */
struct inherited {
    sigset_t mask;
    struct sigaction on_child;
};

static struct {
    bool ignored;
    struct sigaction before[OF_OUTPUT];
} output;

void launch_output_ignore(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    for (size_t i = 0; i < OF_OUTPUT && !output.ignored; i++)
        sigaction(of_output[i], &ignore, &output.before[i]);
    output.ignored = true;
}

void launch_output_restore(void)
{
    for (size_t i = 0; i < OF_OUTPUT && output.ignored; i++)
        sigaction(of_output[i], &output.before[i], NULL);
    output.ignored = false;
}

int launch_preload(const char *library)
{
    const char *before = getenv("LD_PRELOAD");
    char *joined = NULL;
    int error = 0;

    if (strpbrk(library, ": \t\n"))
        return -EINVAL;
    if (asprintf(&joined, "%s%s%s", library, before && *before ? ":" : "", before ? before : "") <
        0)
        return -ENOMEM;
    if (setenv("LD_PRELOAD", joined, 1) < 0)
        error = -errno;
    free(joined);
    return error;
}

/** In the child: executes the program, or reports why it cannot. */
static void program_become(char *const *argv, const struct inherited *inherited, int report)
{
    int error;

    sigaction(SIGCHLD, &inherited->on_child, NULL);
    launch_output_restore();
    sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
    execvp(argv[0], argv);
    error = errno;
    while (write(report, &error, sizeof error) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/** Reads the child's report before it executed the program; 0 when it succeeded. */
static int exec_result(int report)
{
    int error = 0;
    ssize_t got;

    do
        got = read(report, &error, sizeof error);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof error ? -error : 0;
}

void launch_close_all(void)
{
    if (syscall(SYS_close_range, 0U, ~0U, 0U) < 0)
        for (int fd = (int)sysconf(_SC_OPEN_MAX); fd-- > 0;)
            close(fd);
}

/** In the witness: closes everything, and sleeps until this process ends. */
static void witness_be(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "cupool-signals");
    launch_close_all();
    while (getppid() == parent)
        pause();
    _exit(0);
}

/** -1: it cannot be made, and every signal is forwarded. */
static pid_t witness_start(void)
{
    pid_t parent = getpid(), witness = fork();

    if (witness == 0) {
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        witness_be(parent);
    }
    return witness;
}

static void witness_end(pid_t witness)
{
    if (witness <= 0)
        return;
    kill(witness, SIGKILL);
    while (waitpid(witness, NULL, 0) < 0 && errno == EINTR)
        ;
}

static uint64_t signal_bit(int signal)
{
    return UINT64_C(1) << (signal - 1);
}

/** Signals that are pending in a process, as the kernel's set: bit 0 is signal 1. */
static uint64_t signals_pending(pid_t pid)
{
    char path[64], line[256];
    uint64_t pending = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "ShdPnd:", strlen("ShdPnd:")))
            pending = strtoull(line + strlen("ShdPnd:"), NULL, 16);
    if (file)
        fclose(file);
    return pending;
}

struct witness {
    pid_t pid;
    uint64_t seen; /* by witnesses before it, and not asked for yet */
};

/** The new witness exists before the old one ends, so that together they miss nothing. */
static void witness_replace(struct witness *witness)
{
    pid_t old = witness->pid;

    witness->pid = witness_start();
    witness->seen |= signals_pending(old);
    witness_end(old);
}

/** Whether a signal went to the whole group, and the program has it, too: a shell, for one, leaves
 * the group. */
static bool group_got(pid_t pid, struct witness *witness, int signal)
{
    static const struct timespec pause = {.tv_nsec = WITNESS_PAUSE_NS};
    const uint64_t bit = signal_bit(signal);

    for (int i = 0; i < WITNESS_LOOKS && witness->pid > 0; i++) {
        if (!(witness->seen & bit) && signals_pending(witness->pid) & bit)
            witness_replace(witness);
        if (witness->seen & bit) {
            witness->seen &= ~bit;
            return getpgid(pid) == getpgrp();
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

/** Passes on a signal with the value it may have. */
static void signal_forward(pid_t pid, const siginfo_t *info)
{
    if (info->si_code == SI_QUEUE)
        sigqueue(pid, info->si_signo, info->si_value);
    else
        kill(pid, info->si_signo);
}

/** Whether the program went on since its stop was seen. */
static bool has_continued(pid_t pid)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOHANG) == 0 && info.si_pid == pid;
}

/** The program stopped: this process stops, too, unless it had stopped with the program and was
 * continued first, and both continue together. What the witness has seen of stop signals until here
 * is about this stop; what comes later is passed on. */
static void stop_follow(pid_t pid, int signal, struct witness *witness, struct stopper *stopper)
{
    if (witness->pid > 0)
        witness_replace(witness);
    for (size_t i = 0; i < STOP_SIGNALS; i++)
        witness->seen &= ~signal_bit(stop_signals[i]);
    /* Of a signal to the group this process may get its own before the program does. */
    if (stopper_stop(stopper, signal, pid) && !has_continued(pid) &&
        !group_got(pid, witness, SIGCONT))
        kill(pid, SIGCONT);
    if (witness->pid > 0)
        witness_replace(witness);
    witness->seen &= ~signal_bit(SIGCONT);
}

/** Takes what came too late for the program: it must not end this process. */
static uint64_t signals_take(const sigset_t *signals)
{
    const struct timespec now = {0};
    uint64_t taken = 0;
    int signal;

    while ((signal = sigtimedwait(signals, NULL, &now)) > 0)
        taken |= signal_bit(signal);
    return taken & ~signal_bit(SIGCHLD);
}

/** Waits for the program's end. */
static int program_wait(pid_t pid, const sigset_t *signals, struct stopper *stopper,
                        uint64_t *ret_signals)
{
    struct witness witness = {witness_start(), 0};
    int status = 0;

    for (;;) {
        siginfo_t info;
        pid_t found = waitpid(pid, &status, WNOHANG | WUNTRACED);

        if (found == pid && WIFSTOPPED(status)) {
            stop_follow(pid, WSTOPSIG(status), &witness, stopper);
            continue;
        }
        if (found == pid || (found < 0 && errno != EINTR))
            break;
        if (sigwaitinfo(signals, &info) <= 0 || info.si_signo == SIGCHLD)
            continue;
        *ret_signals |= signal_bit(info.si_signo);
        if (info.si_signo == SIGCONT)
            stopper_arm(stopper);
        if (!group_got(pid, &witness, info.si_signo) && !stop_is_over(info.si_signo))
            signal_forward(pid, &info);
    }
    witness_end(witness.pid);
    *ret_signals |= signals_take(signals);
    return status;
}

int launch_program(char *const *argv, struct launch *ret_launch)
{
    struct sigaction child_default = {.sa_handler = SIG_DFL};
    struct inherited inherited;
    struct stopper stopper;
    sigset_t signals;
    uint64_t signals_got = 0;
    int report[2], error, status = 0;
    pid_t pid;

    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        sigaddset(&signals, forwarded[i]);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
        sigaddset(&signals, signal);
    sigprocmask(SIG_BLOCK, &signals, &inherited.mask);
    sigaction(SIGCHLD, &child_default, &inherited.on_child);
    stopper_start(&stopper);
    pid = fork();
    if (pid == 0) {
        stopper_restore(&stopper);
        program_become(argv, &inherited, report[1]);
    }
    error = pid < 0 ? -errno : 0;
    close(report[1]);
    if (error == 0) { /* a program may be stopped before it is executed */
        status = program_wait(pid, &signals, &stopper, &signals_got);
        error = exec_result(report[0]);
    }
    stopper_end(&stopper);
    close(report[0]);
    sigprocmask(SIG_SETMASK, &inherited.mask, NULL);
    if (error == 0)
        *ret_launch = (struct launch){pid, status, signals_got};
    return error;
}

int launch_exit_code(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

bool launch_is_interrupted(const struct launch *launch)
{
    int signal = launch_exit_code(launch->wait_status) - 128;

    return signal > 0 && signal <= SIGRTMAX && launch->signals & signal_bit(signal);
}
