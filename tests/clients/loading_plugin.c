/* SPDX-License-Identifier: MIT */
/*
 * A module that starts a thread while it is loaded and while it is unloaded, and waits for it. The
 * loader holds its lock meanwhile, so nothing that the thread calls may wait for the loader.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static void *work(void *unused)
{
    size_t free_bytes, total, pitch;
    void *block = NULL, *rows = NULL;
    int results[5] = {(int)cudaMalloc(&block, 70000), (int)cudaMemGetInfo(&free_bytes, &total),
                      (int)cudaMallocPitch(&rows, &pitch, 100, 10), (int)cudaFree(block),
                      (int)cudaFree(rows)};

    printf("plugin: %d %d %d %d %d\n", results[0], results[1], results[2], results[3], results[4]);
    return unused;
}

static void work_in_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, NULL) == 0)
        pthread_join(thread, NULL);
}

/* Nothing defines these. */
static void names_look_up(void)
{
    static const char *const names[] = {"cuptiSubscribe", "cuptiActivityRegisterCallbacks"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int found = dlsym(RTLD_DEFAULT, names[i]) != NULL;

        printf("plugin, %s: %s, %s\n", names[i], found ? "found" : "none",
               dlerror() ? "an error" : "no error");
    }
    printf("plugin, cudaMalloc of no release: %s, %s\n",
           dlvsym(RTLD_DEFAULT, "cudaMalloc", "libcudart.so.99") ? "found" : "none",
           dlerror() ? "an error" : "no error");
}

__attribute__((constructor)) static void begin(void)
{
    names_look_up();
    work_in_thread();
}

__attribute__((destructor)) static void end(void)
{
    work_in_thread();
}
