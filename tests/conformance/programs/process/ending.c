/* SPDX-License-Identifier: MIT */
/*
 * The ways in which a process can end while it holds memory, each in its own process. At the end of
 * main it asks for the driver's version twice, which marks the place in a log of the driver's
 * calls.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BLOCKS 10

static void *held[BLOCKS];
static bool free_in_destructor;

static void free_late(void)
{
    for (int i = 0; i < 5; i++)
        route_report("  late free", route_free(held[i]));
    fflush(stdout);
}

/* When handlers of exit have run and libraries are being ended. */
__attribute__((destructor)) static void destructor(void)
{
    if (free_in_destructor)
        free_late();
}

static void *allocate_for_ever(void *unused)
{
    void *pointer;

    for (;;)
        if (route_allocate(&pointer, 1000) || route_free(pointer))
            return NULL;
}

static void mark(void)
{
    int version;

    DRIVER(cuDriverGetVersion)(&version);
    DRIVER(cuDriverGetVersion)(&version);
}

static int end_by_return(void)
{
    return 4;
}

static int end_by_exit(void)
{
    exit(7);
}

static int end_by__exit(void)
{
    _exit(3);
}

static int end_by_quick_exit(void)
{
    at_quick_exit(free_late);
    quick_exit(8);
}

static int end_by_abort(void)
{
    abort();
}

static int end_by_kill(void)
{
    raise(SIGKILL);
    return 1;
}

static int end_by_terminate(void)
{
    raise(SIGTERM);
    return 1;
}

static int end_by_fault(void)
{
    signal(SIGSEGV, SIG_DFL); /* the device may have a handler of its own */
    raise(SIGSEGV);
    return 1;
}

static int end_by_exec(void)
{
    execl("/bin/echo", "echo", "  another program", NULL);
    return 1;
}

static int end_by_exit_in_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, (void *(*)(void *))(void *)end_by_exit, NULL);
    pthread_join(thread, NULL);
    return 1;
}

static int end_by_threads(void)
{
    pthread_t thread;

    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread, NULL, allocate_for_ever, NULL))
            return 1;
    return 4;
}

static int end_by_destructor(void)
{
    free_in_destructor = true;
    return 4;
}

static int end_by_atexit_after(void)
{
    atexit(free_late);
    return 4;
}

static const struct {
    const char *name;
    int (*end)(void);
} ways[] = {
    {"return", end_by_return},
    {"exit", end_by_exit},
    {"_exit", end_by__exit},
    {"quick_exit", end_by_quick_exit},
    {"abort", end_by_abort},
    {"kill", end_by_kill},
    {"terminate", end_by_terminate},
    {"fault", end_by_fault},
    {"exec", end_by_exec},
    {"exit in thread", end_by_exit_in_thread},
    {"atexit", end_by_return}, /* the handler is there before the first call */
    {"atexit after", end_by_atexit_after},
    {"destructor", end_by_destructor},
    {"threads", end_by_threads},
};

static int end(const char *how)
{
    if (strcmp(how, "atexit") == 0)
        atexit(free_late);
    route_start();
    for (int i = 0; i < BLOCKS; i++)
        route_report("  allocate", route_allocate(&held[i], (size_t)1000 << i));
    fflush(stdout);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(how, ways[i].name) == 0) {
            mark();
            return ways[i].end();
        }
    }
    return 1;
}

int program_ending(const char *self, const char *route, const char *argument)
{
    if (argument)
        return end(argument);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        int status = 0;

        printf("%s\n", ways[i].name);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            execl(self, self, "ending", route, ways[i].name, NULL);
            _exit(127);
        }
        waitpid(pid, &status, 0);
        printf("ended: exit %d, signal %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    return 0;
}
