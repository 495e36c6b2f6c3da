/* SPDX-License-Identifier: MIT */
/*
 * Children by fork and exec, vfork and exec, posix_spawn and a shell are separate programs with
 * their own memory.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BLOCKS 8
#define BYTES  3000

extern char **environ;

static int child(void)
{
    void *blocks[BLOCKS];
    int kept = 0;

    route_start();
    for (int i = 0; i < BLOCKS; i++)
        if (route_allocate(&blocks[i], BYTES) || route_fill(blocks[i], i + 1, BYTES))
            return 1;
    for (int i = 0; i < BLOCKS; i++)
        kept += route_wrong_bytes(blocks[i], i + 1, BYTES) == 0 && route_free(blocks[i]) == 0;
    return kept == BLOCKS ? 5 : 2;
}

static pid_t by_fork(char *const *arguments)
{
    pid_t pid = fork();

    if (pid == 0) {
        execv(arguments[0], arguments);
        _exit(127);
    }
    return pid;
}

static pid_t by_vfork(char *const *arguments)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execv(arguments[0], arguments);
        _exit(127);
    }
    return pid;
}

/* A child that shares the parent's memory and ends without another program. */
static pid_t by_vfork_only(char *const *arguments)
{
    pid_t pid = vfork();

    if (pid == 0)
        _exit(6);
    return pid;
}

static pid_t by_spawn(char *const *arguments)
{
    pid_t pid = -1;

    return posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) ? -1 : pid;
}

static pid_t by_shell(char *const *arguments)
{
    char line[4200];

    snprintf(line, sizeof(line), "exec %s %s %s %s", arguments[0], arguments[1], arguments[2],
             arguments[3]);
    char *const shell[] = {"/bin/sh", "-c", line, NULL};
    return by_spawn(shell);
}

int program_spawn(const char *self, const char *route, const char *argument)
{
    static const struct {
        const char *name;
        pid_t (*start)(char *const *arguments);
    } ways[] = {
        {"fork and exec", by_fork}, {"vfork and exec", by_vfork}, {"vfork", by_vfork_only},
        {"posix_spawn", by_spawn},  {"shell", by_shell},
    };
    char *const arguments[] = {(char *)self, "spawn", (char *)route, "child", NULL};
    void *blocks[BLOCKS];

    if (argument)
        return child();
    route_start();
    for (int i = 0; i < BLOCKS; i++) {
        route_report("allocate", route_allocate(&blocks[i], BYTES));
        route_report("fill", route_fill(blocks[i], 100 + i, BYTES));
    }
    for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
        int status = 0, kept = 0;

        fflush(stdout);
        waitpid(ways[way].start(arguments), &status, 0);
        for (int i = 0; i < BLOCKS; i++)
            kept += route_wrong_bytes(blocks[i], 100 + i, BYTES) == 0;
        printf("%s: %d, kept %d\n", ways[way].name, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
               kept);
    }
    for (int i = 0; i < BLOCKS; i++)
        route_report("free", route_free(blocks[i]));
    return 0;
}
