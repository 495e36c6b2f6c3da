/* SPDX-License-Identifier: MIT */
/*
 * Modules that were named are kept by their base, without a lock: two threads that
 * come at once may both find a free place, never the same.
 */
#include "tests/simgpu/driver/api/stranger.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULES_NAMED 16

static bool is_new(void *base)
{
    static void *_Atomic named[MODULES_NAMED];

    for (size_t i = 0; i < MODULES_NAMED; i++) {
        void *expected = NULL;

        if (atomic_compare_exchange_strong(&named[i], &expected, base))
            return true;
        if (expected == base)
            return false;
    }
    return false;
}

/* The libraries that `cupool run --sim` replaces where a program brings NVIDIA's. */
static bool is_replaced(const char *file)
{
    static const char *const names[] = {"libcudart.so", "libcupti.so",    "libcublas",  "libcudnn",
                                        "libcurand",    "libcusparse.so", "libcusolver"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(file, names[i], strlen(names[i])))
            return true;
    return false;
}

void stranger_explain(void *caller)
{
    Dl_info module;
    const char *path, *file;

    if (!dladdr(caller, &module) || !is_new(module.dli_fbase))
        return;
    path = module.dli_fname && *module.dli_fname ? module.dli_fname : "the program";
    file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (is_replaced(file))
        fprintf(stderr,
                "simgpu: %s is NVIDIA's and needs NVIDIA's driver: start the program with "
                "cupool run --sim, which puts the simulated %s first\n",
                path, file);
    else if (!strstr(getenv("LD_AUDIT") ? getenv("LD_AUDIT") : "", "simgpu_loader.so"))
        fprintf(
            stderr,
            "simgpu: %s has NVIDIA's CUDA runtime inside, which needs NVIDIA's driver: start the "
            "program with cupool run --sim, or use a build that is linked with libcudart.so "
            "(nvcc -cudart shared)\n",
            path);
    else
        fprintf(
            stderr,
            "simgpu: %s has NVIDIA's CUDA runtime inside, which needs NVIDIA's driver, without "
            "the names by which it could be replaced: use a build that is not stripped, one that "
            "is linked with libcudart.so (nvcc -cudart shared), or a GPU\n",
            path);
}
