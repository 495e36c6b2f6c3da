/* SPDX-License-Identifier: MIT */
/*
 * Uses memory, then loads and unloads a module that uses memory on a thread of its own meanwhile.
 * It is linked with the runtime (LINKED), or opens it. A call between a look-up that failed and
 * dlerror changes nothing. Before all, it looks for functions that nothing has defined yet.
 *
 * With "first" the module's thread makes the process's first call that concerns memory.
 *
 * usage: loading PLUGIN
 *        loading PLUGIN first    (LINKED)
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
int cudaStreamCreate(void **ret_stream);

static int information(void)
{
    size_t free_bytes, total;

    return cudaMemGetInfo(&free_bytes, &total);
}

/* The device is ready, and no memory was taken. */
static int start(void)
{
    void *stream;

    return cudaStreamCreate(&stream);
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

static int start(void)
{
    return -1;
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

static void plugin_use(const char *path)
{
    void *plugin;

    fflush(stdout);
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    printf("loaded: %d\n", plugin != NULL);
    if (plugin)
        dlclose(plugin);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "";
    void *block = NULL;

    alarm(SECONDS);
    if (argc > 2) {
        printf("start: %d\n", start());
        plugin_use(path);
        return 0;
    }
    names_look_up();
    functions_find();
    printf("first: %d\n", take(&block, 5000));
    printf("first: %d\n", give(block));
    fail();
    failure_keep("take", take(&block, 5000));
    fail();
    failure_keep("information", information());
    plugin_use(path);
    printf("last: %d\n", give(block));
    return 0;
}
