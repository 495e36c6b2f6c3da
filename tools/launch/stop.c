/* SPDX-License-Identifier: MIT */
#include "tools/launch/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/launch/launch.h"

#define GUARD_PAUSE_NS 100000000

const int stop_signals[STOP_SIGNALS] = {SIGTSTP, SIGTTIN, SIGTTOU};

static bool is_stop_signal(int signal)
{
    for (size_t i = 0; i < STOP_SIGNALS; i++)
        if (stop_signals[i] == signal)
            return true;
    return false;
}

/* ---- the thread with the pending signals ---- */

static void *stopper_run(void *argument)
{
    struct stopper *stopper = argument;

    for (;;) {
        sigset_t one;

        while (sem_wait(&stopper->wanted) < 0)
            ;
        if (!stopper->signal)
            return NULL;
        sigemptyset(&one);
        sigaddset(&one, stopper->signal);
        pthread_sigmask(SIG_UNBLOCK, &one, NULL);
        pthread_sigmask(SIG_BLOCK, &one, NULL);
        sem_post(&stopper->done);
    }
}

void stopper_arm(struct stopper *stopper)
{
    for (size_t i = 0; i < STOP_SIGNALS && stopper->has_thread; i++)
        pthread_kill(stopper->thread, stop_signals[i]);
}

void stopper_start(struct stopper *stopper)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t all, before;

    for (size_t i = 0; i < STOP_SIGNALS; i++)
        sigaction(stop_signals[i], &by_default, &stopper->before[i]);
    sem_init(&stopper->wanted, 0, 0);
    sem_init(&stopper->done, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    stopper->has_thread = pthread_create(&stopper->thread, NULL, stopper_run, stopper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    stopper_arm(stopper);
}

void stopper_restore(const struct stopper *stopper)
{
    for (size_t i = 0; i < STOP_SIGNALS; i++)
        sigaction(stop_signals[i], &stopper->before[i], NULL);
}

void stopper_end(struct stopper *stopper)
{
    if (stopper->has_thread) {
        stopper->signal = 0;
        sem_post(&stopper->wanted);
        pthread_join(stopper->thread, NULL);
    }
    sem_destroy(&stopper->wanted);
    sem_destroy(&stopper->done);
    stopper_restore(stopper);
}

/* ---- the guard ---- */

/* Of a process or a thread, by its file "stat"; 0: not known. */
static char state_read(int directory, const char *path)
{
    char text[512];
    const char *behind_name;
    int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, sizeof text - 1);

    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = 0;
    behind_name = strrchr(text, ')');
    return behind_name && behind_name[1] == ' ' ? behind_name[2] : 0;
}

/* A process goes on without its first thread, which is shown as ended. */
static char other_state(pid_t pid)
{
    char path[64], state = 'Z';
    const struct dirent *entry;
    DIR *threads;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    threads = opendir(path);
    while (threads && state == 'Z' && (entry = readdir(threads))) {
        snprintf(path, sizeof path, "%.32s/stat", entry->d_name);
        if (*entry->d_name != '.')
            state = state_read(dirfd(threads), path);
    }
    if (threads)
        closedir(threads);
    return state;
}

static bool is_stopped(pid_t pid)
{
    char path[64], state;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    state = state_read(AT_FDCWD, path);
    if (state == 'Z')
        state = other_state(pid);
    return !state || state == 'T' || state == 't';
}

/* In the guard. Its own group: what stops this process's group must not stop it. It repeats the
 * signal, because one that comes right before a SIGSTOP is lost. */
static void guard_be(pid_t parent, pid_t program)
{
    const struct timespec pause = {.tv_nsec = GUARD_PAUSE_NS};

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "cupool-stopped");
    launch_close_all();
    while (getppid() == parent) {
        if (!is_stopped(program))
            kill(parent, SIGCONT);
        nanosleep(&pause, NULL);
    }
    _exit(0);
}

/* -1: it cannot be made. */
static pid_t guard_start(pid_t program)
{
    pid_t parent = getpid(), guard = fork();

    if (guard == 0) {
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        guard_be(parent, program);
    }
    return guard;
}

static void guard_end(pid_t guard)
{
    if (guard <= 0)
        return;
    kill(guard, SIGKILL);
    while (waitpid(guard, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- stopping ---- */

/** Whether this process was continued and has not taken the signal. */
static bool continue_waits(void)
{
    sigset_t waiting;

    sigemptyset(&waiting);
    sigpending(&waiting);
    return sigismember(&waiting, SIGCONT) == 1;
}

bool stop_is_over(int signal)
{
    return is_stop_signal(signal) && continue_waits();
}

bool stopper_stop(struct stopper *stopper, int signal, pid_t program)
{
    const struct timespec now = {0};
    siginfo_t info = {0};
    sigset_t on;
    pid_t guard = guard_start(program);

    if (stopper->has_thread && is_stop_signal(signal)) {
        stopper->signal = signal;
        sem_post(&stopper->wanted);
        while (sem_wait(&stopper->done) < 0)
            ;
    }
    if (!continue_waits())
        kill(getpid(), SIGSTOP);
    guard_end(guard); /* before its signal is taken: none comes later */
    sigemptyset(&on);
    sigaddset(&on, SIGCONT);
    int taken = sigtimedwait(&on, &info, &now);
    stopper_arm(stopper);
    return taken != SIGCONT || info.si_pid != guard;
}
