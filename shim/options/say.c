/* SPDX-License-Identifier: MIT */
/*
 * A write to a pipe without a reader, to a file beyond the process's size limit, or to the
 * terminal of another process group raises a signal that kills or stops the process by default.
 * These signals are blocked during the write, and a new one is consumed, so the program sees none.
 * errno is preserved.
 */
#include "shim/options/say.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cupti/base/safe_text.h"
#include "cupti/base/uncancelled.h"

static const int deadly[] = {SIGPIPE, SIGXFSZ, SIGTTOU};

#define DEADLY (sizeof(deadly) / sizeof(deadly[0]))

static bool somebody_reads(void)
{
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&output, 1, 0) == 1 && output.revents == POLLOUT;
}

#define INTERRUPTIONS_MAX 8

static void signal_take(int number)
{
    static const struct timespec at_once = {0};
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, number);
    for (int tries = 0; tries < INTERRUPTIONS_MAX; tries++)
        if (sigtimedwait(&one, NULL, &at_once) >= 0 || errno != EINTR)
            return;
}

static void write_held(const char *text)
{
    sigset_t held, before, pending, after;

    sigemptyset(&held);
    for (size_t i = 0; i < DEADLY; i++)
        sigaddset(&held, deadly[i]);
    if (pthread_sigmask(SIG_BLOCK, &held, &before) != 0)
        return;
    sigemptyset(&pending);
    sigpending(&pending);
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    sigemptyset(&after);
    sigpending(&after);
    for (size_t i = 0; i < DEADLY && written < 0; i++)
        if (sigismember(&after, deadly[i]) && !sigismember(&pending, deadly[i]))
            signal_take(deadly[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void say(const char *text)
{
    UNCANCELLED;
    int saved_errno = errno;

    if (somebody_reads())
        write_held(text);
    errno = saved_errno;
}

void say_line(const char *text)
{
    static const char prefix[] = "cupool: ";
    char line[896]; /* of a stack that may be small */
    size_t used = sizeof(prefix) - 1;

    memcpy(line, prefix, used);
    used += safe_text_copy(line + used, sizeof(line) - used - 1, text);
    memcpy(line + used, "\n", 2);
    say(line);
}
