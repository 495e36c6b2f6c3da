/* SPDX-License-Identifier: MIT */
/* The ways a process ends while it holds memory; each in a process of its own. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "door.h"
#include "program.h"

static void *held[10];

static void free_late(void)
{
    for (int i = 0; i < 5; i++)
        door_report("  late free", door_free(held[i]));
    fflush(stdout);
}

static void *allocate_for_ever(void *unused)
{
    void *pointer;
    for (;;)
        if (door_allocate(&pointer, 1000) || door_free(pointer))
            return NULL;
}

static int end(const char *how, const char *self)
{
    pthread_t thread;
    if (strcmp(how, "atexit") == 0)
        atexit(free_late);
    door_start();
    for (int i = 0; i < 10; i++)
        door_report("  allocate", door_allocate(&held[i], (size_t)1000 << i));
    fflush(stdout);
    if (strcmp(how, "_exit") == 0)
        _exit(3);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "exec") == 0)
        execl("/bin/echo", "echo", "  another program", NULL);
    if (strcmp(how, "threads") == 0 && (pthread_create(&thread, NULL, allocate_for_ever, NULL) ||
                                        pthread_create(&thread, NULL, allocate_for_ever, NULL)))
        return 1;
    return 4;
}

int program_ending(const char *self, const char *door, const char *argument)
{
    static const char *const ways[] = {"return", "_exit",  "abort",  "kill",
                                       "exec",   "atexit", "threads"};
    if (argument)
        return end(argument, self);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        int status = 0;
        printf("%s\n", ways[i]);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            execl(self, self, "ending", door, ways[i], NULL);
            _exit(127);
        }
        waitpid(pid, &status, 0);
        printf("ended: exit %d, signal %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    return 0;
}
