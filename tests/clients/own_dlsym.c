/* SPDX-License-Identifier: MIT */
/*
 * A program that interposes dlsym itself, as tracers and allocators do. The executable comes before
 * every preloaded library, so its definition is the one that all others see. It counts the names of
 * the runtime it is asked for and hands on to the next dlsym ("next") or to that of libc ("libc").
 * Or it calls the runtime it is linked with ("linked"), which asks this dlsym for the driver.
 *
 * usage: own_dlsym next|libc|linked
 */
#include <dlfcn.h>

#include "tests/clients/exercise.h"

/* dlsym's first version on this machine, and the one since it moved into libc.so.6. */
static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};

static void *(*forward)(void *library, const char *name);
static int asked;

static void forward_to(void *library)
{
    for (size_t i = 0; !forward && i < sizeof versions / sizeof versions[0]; i++)
        *(void **)&forward = dlvsym(library, "dlsym", versions[i]);
    if (!forward)
        exit(1);
}

__attribute__((visibility("default"))) void *dlsym(void *restrict library,
                                                   const char *restrict name)
{
    if (!forward)
        forward_to(RTLD_NEXT);
    asked += !strncmp(name, "cuda", 4);
    return forward(library, name);
}

static struct exercise_runtime linked_runtime(void)
{
    return (struct exercise_runtime){
        .malloc = cudaMalloc,
        .free = cudaFree,
        .memset = cudaMemset,
        .memcpy = cudaMemcpy,
        .device_synchronize = cudaDeviceSynchronize,
    };
}

static struct exercise_runtime looked_up_runtime(void)
{
    struct exercise_runtime runtime;
    void *library = dlopen("libcudart.so.13", RTLD_NOW);
    if (!library)
        exit(1);
    *(void **)&runtime.malloc = dlsym(library, "cudaMalloc");
    *(void **)&runtime.free = dlsym(library, "cudaFree");
    *(void **)&runtime.memset = dlsym(library, "cudaMemset");
    *(void **)&runtime.memcpy = dlsym(library, "cudaMemcpy");
    *(void **)&runtime.device_synchronize = dlsym(library, "cudaDeviceSynchronize");
    return runtime;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    if (!strcmp(argv[1], "libc"))
        forward_to(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD));
    struct exercise_runtime runtime = strcmp(argv[1], "linked") ? looked_up_runtime()
                                                                : linked_runtime();
    exercise(&runtime, argv[1]);
    printf("%d names of the runtime asked for\n", asked);
    return 0;
}
