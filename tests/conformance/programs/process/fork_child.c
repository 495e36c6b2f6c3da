/* SPDX-License-Identifier: MIT */
/* A child after fork does not affect its parent's memory; the parent continues normally. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BLOCKS 10

static int child(void **blocks)
{
    void *pointer = NULL;

    route_report("child allocates", route_allocate(&pointer, 1000));
    route_report("child frees the parent's", route_free(blocks[0]));
    fflush(stdout);
    return 5;
}

int program_fork_child(const char *self, const char *route, const char *argument)
{
    void *blocks[BLOCKS];
    unsigned char byte = 0;
    int status = 0;

    route_start();
    for (int i = 0; i < BLOCKS; i++)
        route_report("allocate", route_allocate(&blocks[i], (size_t)1000 << i));
    route_report("fill", route_fill(blocks[0], 9, 1000));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child(blocks));
    waitpid(pid, &status, 0);
    printf("child: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    route_report("read", route_read(&byte, blocks[0], 1));
    printf("byte: %d\n", byte);
    for (int i = 0; i < BLOCKS; i++)
        route_report("free", route_free(blocks[i]));
    return 0;
}
