/* SPDX-License-Identifier: MIT */
/*
 * Runs Criterion in a child, and again if the runner itself is killed by a signal: under load,
 * Criterion 2.4.1 may read a client that its other thread has freed. Tests run in processes of
 * their own, so one that crashes is a result and never ends the runner.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_MOST 3

static int run(int argc, char **argv)
{
    struct criterion_test_set *tests = criterion_initialize();
    int result = 0;

    if (criterion_handle_args(argc, argv, true))
        result = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return result;
}

static int status_of(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

int main(int argc, char **argv)
{
    int status = 0;

    for (int runs = 0; runs < RUNS_MOST; runs++) {
        pid_t child = fork();

        if (child == 0)
            return run(argc, argv);
        status = child < 0 ? -1 : status_of(child);
        if (status < 0)
            return 1;
        if (!WIFSIGNALED(status))
            return WEXITSTATUS(status);
        fprintf(stderr, "the runner was killed by signal %d\n", WTERMSIG(status));
    }
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 1;
}
