/* SPDX-License-Identifier: MIT */
/*
 * A server that makes its workers by fork or by the system call, as _Fork does, after it looked
 * functions up ("look-up"), named a phase ("phase"), or used memory ("context"). The worker takes
 * blocks of 64 MiB until it has twenty or is refused.
 *
 * usage: forks fork|clone look-up|phase|context
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 20

static int (*take)(void **, size_t);
static int (*give)(void *);
static int (*information)(size_t *, size_t *);

/* The system call runs no fork handlers. */
static pid_t child_make(const char *how)
{
    return strcmp(how, "fork") ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
}

static void work(void *parents)
{
    void *block = NULL;
    size_t free_bytes = 0, total = 0;
    int count = 0;
    if (parents) {
        give(parents); /* refused or not is the device's affair; it must come back */
        exit(7);
    }
    while (count < BLOCKS && take(&block, 64 << 20) == 0)
        count++;
    int result = give(block);
    information(&free_bytes, &total);
    printf("worker: %d blocks, free %d, of %zu MiB\n", count, result, total >> 20);
    exit(7);
}

int main(int argc, char **argv)
{
    char handle[64];
    void *runtime = dlopen("libcudart.so.13", RTLD_NOW), *first = NULL, *block = NULL;
    int (*share)(void *, void *), status = 0;
    void (*phase)(const char *);
    if (argc != 3 || !runtime)
        return 2;
    *(void **)&take = dlsym(runtime, "cudaMalloc");
    *(void **)&give = dlsym(runtime, "cudaFree");
    *(void **)&information = dlsym(runtime, "cudaMemGetInfo");
    *(void **)&share = dlsym(runtime, "cudaIpcGetMemHandle");
    *(void **)&phase = dlsym(RTLD_DEFAULT, "cupool_phase_begin");
    if (!strcmp(argv[2], "phase") && phase)
        phase("server");
    if (!strcmp(argv[2], "context")) {
        int results[3] = {take(&first, 5000), take(&block, 5000)};
        results[2] = share(handle, block);
        printf("server: %d %d %d\n", results[0], results[1], results[2]);
    }
    fflush(stdout);
    pid_t pid = child_make(argv[1]);
    if (pid == 0)
        work(block);
    waitpid(pid, &status, 0);
    printf("%s %d\n", WIFEXITED(status) ? "exit" : "signal",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    if (block)
        printf("server: %d %d\n", give(block), give(first));
    return 0;
}
