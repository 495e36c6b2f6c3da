/* SPDX-License-Identifier: MIT */
/*
 * One call that waits for device work: a cudaFree, for as many seconds as the argument says and no
 * less. Prints its result and the nanoseconds around it.
 */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BYTES ((size_t)64 << 20)

static void (*release)(void *stream);
static cudaStream_t stream;
static unsigned seconds;

static unsigned long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec;
}

static void *later(void *unused)
{
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
    result = cudaFree(memory);
    printf("%d %llu\n", result, now_ns() - begin_ns);
    return pthread_join(thread, NULL);
}
