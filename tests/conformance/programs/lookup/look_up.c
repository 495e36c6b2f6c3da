/* SPDX-License-Identifier: MIT */
/* Results of function look-ups: found or not, status, and no pointer for missing functions. */
#include <dlfcn.h>
#include <stdio.h>

#include "route.h"
#include "program.h"

static void by_dlsym(const char *title, void *handle, const char *name)
{
    dlerror();
    void *found = dlsym(handle, name);
    printf("%s %s: %s, error %s\n", title, name, found ? "found" : "none",
           dlerror() ? "yes" : "no");
}

static void by_dlvsym(const char *title, void *handle, const char *name, const char *version)
{
    dlerror();
    void *found = dlvsym(handle, name, version);
    printf("%s %s@%s: %s, error %s\n", title, name, version, found ? "found" : "none",
           dlerror() ? "yes" : "no");
}

static void by_symbol_version(void *cuda, void *libc)
{
    void *cudart = dlopen("libcudart.so.13", RTLD_NOW);

    by_dlvsym("handle", cudart, "cudaMalloc", "libcudart.so.13");
    by_dlvsym("handle", cudart, "cudaMalloc", "libcudart.so.99");
    by_dlvsym("handle", cudart, "cudaNoSuchThing", "libcudart.so.13");
    by_dlvsym("handle", libc, "cudaMalloc", "libcudart.so.13");
    by_dlvsym("handle", libc, "malloc", "GLIBC_2.2.5");
    by_dlvsym("default", RTLD_DEFAULT, "cudaMalloc", "libcudart.so.13");
    by_dlvsym("default", RTLD_DEFAULT, "cudaMalloc", "libcudart.so.99");
    by_dlvsym("default", RTLD_DEFAULT, "dlsym", "GLIBC_2.34");
    by_dlvsym("next", RTLD_NEXT, "cudaMalloc", "libcudart.so.13");
    by_dlvsym("next", RTLD_NEXT, "dlvsym", "GLIBC_2.34");
    by_dlvsym("next", RTLD_NEXT, "no_such_function", "GLIBC_2.34");
    by_dlsym("handle", libc, "dlsym");
    by_dlsym("handle", libc, "dlvsym");
}

static void by_name(void *cuda)
{
    static const char *const names[] = {"cuMemAlloc_v2",    "cuMemAlloc",     "cuInit",
                                        "cuNoSuchThing",    "cuMemFree_v2",   "cuMemFreeAsync_ptsz",
                                        "cuGetProcAddress", "cublasCreate_v2"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        by_dlsym("handle", cuda, names[i]);
}

static void by_version(void *cuda)
{
    static const struct {
        const char *name;
        int version;
        cuuint64_t flags;
    } asked[] = {
        {"cuMemAlloc", 2000, 0},
        {"cuMemAlloc", 3020, 0},
        {"cuMemAlloc", 12000, 0},
        {"cuMemAlloc", 1000, 0},
        {"cuMemFreeAsync", 11020, 0},
        {"cuMemFreeAsync", 11020, 2},
        {"cuMemFreeAsync", 11000, 0},
        {"cuNoSuchThing", 12000, 0},
        {"cuGetProcAddress", 11030, 0},
        {"cuGetProcAddress", 12000, 0},
        {"cuStreamBeginCapture", 10000, 0},
        {"cuStreamBeginCapture", 10010, 2},
        {"", 0, 0},
    };
    CUresult (*get)(const char *, void **, int, cuuint64_t, CUdriverProcAddressQueryResult *);

    *(void **)&get = dlsym(cuda, "cuGetProcAddress_v2");
    for (size_t i = 0; get && i < sizeof(asked) / sizeof(asked[0]); i++) {
        CUdriverProcAddressQueryResult status = (CUdriverProcAddressQueryResult)99;
        void *found = NULL;
        CUresult result = get(asked[i].name, &found, asked[i].version, asked[i].flags, &status);

        printf("%s %d %d: %d, %s, status %d\n", asked[i].name, asked[i].version,
               (int)asked[i].flags, (int)result, found ? "found" : "none", (int)status);
    }
    void *found = NULL;
    printf("without status: %d\n", (int)get("cuMemAlloc", &found, 12000, 0, NULL));
    printf("without place: %d\n", (int)get("cuMemAlloc", NULL, 12000, 0, NULL));
}

int program_look_up(const char *self, const char *route, const char *argument)
{
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    void *libc = dlopen("libc.so.6", RTLD_NOW);

    by_name(cuda);
    by_version(cuda);
    by_dlsym("default", RTLD_DEFAULT, "cudaMalloc");
    by_dlsym("default", RTLD_DEFAULT, "cuMemAlloc_v2");
    by_dlsym("default", RTLD_DEFAULT, "malloc");
    by_dlsym("default", RTLD_DEFAULT, "no_such_function");
    by_dlsym("next", RTLD_NEXT, "cudaMalloc");
    by_dlsym("next", RTLD_NEXT, "cuMemAlloc_v2");
    by_dlsym("next", RTLD_NEXT, "malloc");
    by_dlsym("handle", libc, "malloc");
    by_dlsym("handle", libc, "cudaMalloc");
    by_symbol_version(cuda, libc);
    return 0;
}
