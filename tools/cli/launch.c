/* SPDX-License-Identifier: MIT */
/*
 * See launch.h. Signals are blocked and taken one by one, so nothing runs in a handler. A signal
 * from the terminal reaches the program by itself, for it is in the same group; only those that
 * were sent to this process alone are passed on.
 */
#include "tools/cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const int forwarded[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

int launch_preload(const char *library)
{
    const char *before = getenv("LD_PRELOAD");
    char *joined = NULL;
    int r = 0;

    if (strpbrk(library, ": \t\n"))
        return -EINVAL;
    if (asprintf(&joined, "%s%s%s", library, before && *before ? ":" : "", before ? before : "") <
        0)
        return -ENOMEM;
    if (setenv("LD_PRELOAD", joined, 1) < 0)
        r = -errno;
    free(joined);
    return r;
}

/** In the child: becomes the program, or tells why not. */
static void program_become(char *const *argv, const sigset_t *mask, int report)
{
    int error;

    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    error = errno;
    while (write(report, &error, sizeof error) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/** What the child told before it became the program; 0 when it became it. */
static int exec_result(int report)
{
    int error = 0;
    ssize_t got;

    do
        got = read(report, &error, sizeof error);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof error ? -error : 0;
}

static int program_wait(pid_t pid, const sigset_t *signals)
{
    int status;

    while (waitpid(pid, &status, WNOHANG) != pid) {
        siginfo_t info;
        int signal = sigwaitinfo(signals, &info);

        if (signal > 0 && signal != SIGCHLD && info.si_code != SI_KERNEL)
            kill(pid, signal);
    }
    return status;
}

int launch_program(char *const *argv, struct launch *ret_launch)
{
    struct sigaction child_default = {.sa_handler = SIG_DFL};
    sigset_t signals, before;
    int report[2], r, status;
    pid_t pid;

    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        sigaddset(&signals, forwarded[i]);
    sigprocmask(SIG_BLOCK, &signals, &before);
    sigaction(SIGCHLD, &child_default, NULL);
    pid = fork();
    if (pid == 0)
        program_become(argv, &before, report[1]);
    r = pid < 0 ? -errno : 0;
    close(report[1]);
    if (r == 0) {
        r = exec_result(report[0]);
        status = program_wait(pid, &signals);
    }
    close(report[0]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        *ret_launch = (struct launch){pid, status};
    return r;
}

int launch_exit_code(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
