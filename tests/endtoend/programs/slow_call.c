/* SPDX-License-Identifier: MIT */
/*
 * One call that waits for device work: a cudaFree, for as many seconds as the argument says and no
 * less: they begin once the call is seen to wait. Prints its result and the nanoseconds around it.
 */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BYTES ((size_t)64 << 20)

static void (*release)(void *stream);
static cudaStream_t stream;
static unsigned seconds;
static atomic_bool is_called;

static unsigned long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec;
}

/* Whether the main thread sleeps; where it is, only the call that waits does. */
static int main_sleeps(void)
{
    char path[64], text[256] = "", *end;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
    file = fopen(path, "r");
    if (!file)
        return 1; /* no way to see it */
    if (!fgets(text, sizeof(text), file))
        text[0] = 0;
    fclose(file);
    end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] == 'S';
}

static void *later(void *unused)
{
    while (!atomic_load(&is_called) || !main_sleeps())
        usleep(1000);
    for (unsigned left = seconds; left;)
        left = sleep(left);
    release(stream);
    return unused;
}

int main(int argc, char **argv)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY), *memory;
    void (*hold)(void *) = NULL;
    unsigned long long begin_ns;
    pthread_t thread;
    int result;

    seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (driver) {
        *(void **)&hold = dlsym(driver, "simgpu_hold");
        *(void **)&release = dlsym(driver, "simgpu_release");
    }
    if (!seconds || !hold || !release || cudaMalloc(&memory, BYTES) || cudaStreamCreate(&stream))
        return 1;
    hold(stream);
    if (cudaMemsetAsync(memory, 0, BYTES, stream) || pthread_create(&thread, NULL, later, NULL))
        return 1;
    begin_ns = now_ns();
    atomic_store(&is_called, true);
    result = cudaFree(memory);
    printf("%d %llu\n", result, now_ns() - begin_ns);
    return pthread_join(thread, NULL);
}
