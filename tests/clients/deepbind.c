/* SPDX-License-Identifier: MIT */
/*
 * Several routes to one device in one process, behind RTLD_DEEPBIND: the runtime and the driver
 * opened that way, and a plugin that is linked with the runtime. Memory from one route is freed
 * through another.
 *
 * usage: deepbind PLUGIN
 */
#include <cuda.h>
#include <dlfcn.h>

#include "tests/clients/exercise.h"

static void *open_deep(const char *name)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!library) {
        printf("%s\n", dlerror());
        exit(1);
    }
    return library;
}

static void *find(void *library, const char *name)
{
    void *function = dlsym(library, name);
    if (!function) {
        printf("%s: not found\n", name);
        exit(1);
    }
    return function;
}

static struct exercise_runtime open_runtime(void)
{
    void *library = open_deep("libcudart.so.13");
    struct exercise_runtime runtime;
    *(void **)&runtime.malloc = find(library, "cudaMalloc");
    *(void **)&runtime.free = find(library, "cudaFree");
    *(void **)&runtime.memset = find(library, "cudaMemset");
    *(void **)&runtime.memcpy = find(library, "cudaMemcpy");
    *(void **)&runtime.device_synchronize = find(library, "cudaDeviceSynchronize");
    return runtime;
}

/* One route allocates, the other frees; each refuses a double free. */
static void cross_routes(const struct exercise_runtime *runtime)
{
    void *library = open_deep("libcuda.so.1");
    CUresult (*mem_alloc)(CUdeviceptr *, size_t);
    CUresult (*mem_free)(CUdeviceptr);
    *(void **)&mem_alloc = find(library, "cuMemAlloc_v2");
    *(void **)&mem_free = find(library, "cuMemFree_v2");

    void *of_runtime = NULL;
    CUdeviceptr of_driver = 0;
    exercise_expect(runtime->malloc(&of_runtime, 70000), "malloc");
    printf("driver allocates: %d\n", (int)mem_alloc(&of_driver, 70000));
    printf("driver frees the runtime's block: %d\n", (int)mem_free((CUdeviceptr)of_runtime));
    printf("runtime frees the driver's block: %d\n", (int)runtime->free((void *)of_driver));
    printf("freed twice: %d and %d\n", (int)mem_free((CUdeviceptr)of_runtime),
           (int)runtime->free((void *)of_driver));
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    struct exercise_runtime runtime = open_runtime();
    exercise(&runtime, "runtime");
    void (*plugin_run)(void);
    *(void **)&plugin_run = find(open_deep(argv[1]), "deepbind_linked_run");
    plugin_run();
    cross_routes(&runtime);
    exercise(&runtime, "runtime again");
    return 0;
}
