/* SPDX-License-Identifier: MIT */
/*
 * A program whose fork handlers use memory. They are registered before the first call, so at a fork
 * they run last, and in parent and child first, like those of a library that is loaded early.
 *
 * usage: fork_handlers server    the server has memory: its handlers free and allocate
 *        fork_handlers worker    it has none: the worker's handler allocates, the worker frees
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORKS   3
#define SECONDS 120 /* until SIGALRM ends a program that waits for itself */

static int (*take)(void **, size_t);
static int (*give)(void *);
static int (*information)(size_t *, size_t *);
static bool is_server, is_worker;
static void *small, *large;

static void exchange(const char *when, size_t bytes)
{
    size_t free_bytes, total;
    int results[5] = {give(small), take(&small, bytes), give(large), take(&large, bytes << 12),
                      information(&free_bytes, &total)};

    printf("%s: %d %d %d %d %d\n", when, results[0], results[1], results[2], results[3],
           results[4]);
    fflush(stdout);
}

static void before(void)
{
    if (is_server)
        exchange("before", 3000);
}

static void after(void)
{
    if (is_server)
        exchange("after", 9000);
}

static void in_worker(void)
{
    if (is_worker)
        printf("worker's handler: %d\n", take(&small, 5000));
}

int main(int argc, char **argv)
{
    void *runtime;
    int status = 0;

    alarm(SECONDS);
    pthread_atfork(before, after, in_worker);
    runtime = dlopen("libcudart.so.13", RTLD_NOW);
    if (argc != 2 || !runtime)
        return 2;
    *(void **)&take = dlsym(runtime, "cudaMalloc");
    *(void **)&give = dlsym(runtime, "cudaFree");
    *(void **)&information = dlsym(runtime, "cudaMemGetInfo");
    is_server = !strcmp(argv[1], "server");
    is_worker = !is_server;
    if (is_server)
        printf("server: %d %d\n", take(&small, 5000), take(&large, 5 << 20));
    for (int i = 0; i < FORKS; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            if (is_worker)
                printf("worker: %d\n", give(small));
            exit(7);
        }
        waitpid(pid, &status, 0);
        printf("%s %d\n", WIFEXITED(status) ? "exit" : "signal",
               WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    if (is_server)
        printf("server: %d %d\n", give(small), give(large));
    return 0;
}
