/* SPDX-License-Identifier: MIT */
/*
 * A library that allocates and is unloaded: its memory stays, other code can free it, and the
 * library can be loaded again, perhaps elsewhere, perhaps with another one in its place meanwhile.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define ROUNDS 6
#define BYTES  4000

typedef int allocate_function(void **ret_pointer, size_t bytes);
typedef int free_function(void *pointer);

static void *load(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[length < 0 ? 0 : length] = 0;
    char *slash = strrchr(path, '/');
    if (!slash || slash - path > (ssize_t)sizeof(path) - 40)
        return NULL;
    strcpy(slash, "/libconformance_extension.so");
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

int program_unloaded(const char *self, const char *route, const char *argument)
{
    allocate_function *allocate;
    free_function *release;
    void *blocks[ROUNDS], *freed_by_it;
    int kept = 0;

    route_start();
    for (int i = 0; i < ROUNDS; i++) {
        void *library = load();

        if (!library)
            route_skip("the library cannot be loaded");
        *(void **)&allocate = dlsym(library, "extension_allocate");
        *(void **)&release = dlsym(library, "extension_free");
        route_report("library allocates", allocate(&blocks[i], BYTES));
        route_report("program allocates", route_allocate(&freed_by_it, BYTES));
        route_report("library frees", release(freed_by_it));
        if (i)
            route_report("library frees what was there before", release(blocks[i - 1]));
        route_report("fill", route_fill(blocks[i], i + 1, BYTES));
        route_report("unload", dlclose(library));
        if (i % 2) /* something else in its place */
            dlclose(dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL));
        kept += route_wrong_bytes(blocks[i], i + 1, BYTES) == 0;
    }
    printf("kept: %d\n", kept);
    route_report("program frees", route_free(blocks[ROUNDS - 1]));
    route_report("freed twice", route_free(blocks[ROUNDS - 1]));
    return 0;
}
