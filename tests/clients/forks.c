/* SPDX-License-Identifier: MIT */
/*
 * A server that makes its workers by fork or by the system call, as _Fork does, after it looked
 * functions up ("look-up"), named a phase ("phase"), or used memory ("context"). The worker takes
 * blocks of 64 MiB until it has twenty or is refused.
 *
 * With "busy", other threads of the server make and end memory that needs no context, at every
 * fork. The workers release memory that they do not have.
 *
 * usage: forks fork|clone look-up|phase|context
 *        forks fork busy
 */
#include <cuda.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS  20
#define WORKERS 200 /* of a busy server; one may be made while no lock is held */
#define SECONDS 60  /* until SIGALRM ends a process that waits for itself */

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

/* ---- a busy server ---- */

static struct {
    __typeof__(cuInit) *init;
    __typeof__(cuMemCreate) *create;
    __typeof__(cuMemRelease) *release;
    __typeof__(cuMemPoolCreate) *pool_create;
    __typeof__(cuMemPoolDestroy) *pool_destroy;
} driver;

static atomic_bool over;

static void *physical_churn(void *unused)
{
    const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUmemGenericAllocationHandle memory;

    while (!over)
        if (driver.create(&memory, 2 << 20, &prop, 0) == CUDA_SUCCESS)
            driver.release(memory);
    return unused;
}

static void *pool_churn(void *unused)
{
    const CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                  .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUmemoryPool pool;

    while (!over)
        if (driver.pool_create(&pool, &props) == CUDA_SUCCESS)
            driver.pool_destroy(pool);
    return unused;
}

/* The device refuses both calls, before it looks at what they name; they must come back. */
static void busy_work(void)
{
    alarm(SECONDS);
    driver.release(12345);
    driver.pool_destroy((CUmemoryPool)&driver);
    _exit(7);
}

static int busy_serve(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    pthread_t thread[2];
    int status = 0, ended = 0;
    if (!library)
        return 2;
    *(void **)&driver.init = dlsym(library, "cuInit");
    *(void **)&driver.create = dlsym(library, "cuMemCreate");
    *(void **)&driver.release = dlsym(library, "cuMemRelease");
    *(void **)&driver.pool_create = dlsym(library, "cuMemPoolCreate");
    *(void **)&driver.pool_destroy = dlsym(library, "cuMemPoolDestroy");
    if (driver.init(0) != CUDA_SUCCESS ||
        pthread_create(&thread[0], NULL, physical_churn, NULL) != 0 ||
        pthread_create(&thread[1], NULL, pool_churn, NULL) != 0)
        return 2;
    for (int i = 0; i < WORKERS; i++) {
        pid_t pid = fork();

        if (pid == 0)
            busy_work();
        waitpid(pid, &status, 0);
        if (!WIFEXITED(status))
            break;
        ended += WEXITSTATUS(status) == 7;
    }
    over = true;
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    printf("%d of %d workers came back\n", ended, WORKERS);
    return 0;
}

int main(int argc, char **argv)
{
    char handle[64];
    void *runtime = dlopen("libcudart.so.13", RTLD_NOW), *first = NULL, *block = NULL;
    int (*share)(void *, void *), status = 0;
    void (*phase)(const char *);
    if (argc != 3 || !runtime)
        return 2;
    if (!strcmp(argv[2], "busy"))
        return busy_serve();
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
