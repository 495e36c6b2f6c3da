/* SPDX-License-Identifier: MIT */
/*
 * Uses memory, then loads and unloads a module that uses memory on a thread of its own meanwhile.
 * It is linked with the runtime (LINKED), or opens it. A call between a look-up that failed and
 * dlerror changes nothing. Before all, it looks for functions that nothing has defined yet.
 *
 * usage: loading PLUGIN
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECONDS 120 /* until SIGALRM ends a program that waits for itself */

static int (*take)(void **, size_t);
static int (*give)(void *);

#ifdef LINKED
int cudaMalloc(void **pointer, size_t bytes);
int cudaFree(void *pointer);
int cudaMemGetInfo(size_t *ret_free, size_t *ret_total);

static int information(void)
{
    size_t free_bytes, total;

    return cudaMemGetInfo(&free_bytes, &total);
}

static void functions_find(void)
{
    take = cudaMalloc;
    give = cudaFree;
}
#else
static int information(void)
{
    return 0;
}

static void functions_find(void)
{
    void *runtime = dlopen("libcudart.so.13", RTLD_NOW);

    *(void **)&take = dlsym(runtime, "cudaMalloc");
    *(void **)&give = dlsym(runtime, "cudaFree");
}
#endif

static void names_look_up(void)
{
    static const char *const names[] = {
        "cuptiSubscribe", "cuptiSubscribe_v2", "cuptiActivityRegisterCallbacks",
#ifndef LINKED
        "cudaMalloc",     "cuMemAlloc_v2",     "cuGetProcAddress",
#endif
        "cuptiGetVersion"};
    void *program = dlopen(NULL, RTLD_LAZY);

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *handles[] = {program, RTLD_DEFAULT, RTLD_NEXT};

        for (int j = 0; j < 3; j++) {
            int found = dlsym(handles[j], names[i]) != NULL;

            printf("%s: %s, %s\n", names[i], found ? "found" : "none",
                   dlerror() ? "an error" : "no error");
        }
    }
}

static void failure_keep(const char *what, int result)
{
    const char *error = dlerror();

    printf("%s: %d, the error is %s\n", what, result,
           error && strstr(error, "no_such_function") ? "kept" : "lost");
}

static void fail(void)
{
    (void)dlsym(RTLD_DEFAULT, "no_such_function");
}

int main(int argc, char **argv)
{
    void *block = NULL, *plugin;

    alarm(SECONDS);
    names_look_up();
    functions_find();
    printf("first: %d\n", take(&block, 5000));
    printf("first: %d\n", give(block));
    fail();
    failure_keep("take", take(&block, 5000));
    fail();
    failure_keep("information", information());
    fflush(stdout);
    plugin = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW | RTLD_LOCAL);
    printf("loaded: %d\n", plugin != NULL);
    if (plugin)
        dlclose(plugin);
    printf("last: %d\n", give(block));
    return 0;
}
