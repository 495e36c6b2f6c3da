/* SPDX-License-Identifier: MIT */
/*
 * A library that stands in for the runtime or the driver, as memory savers, tracers and limiters
 * do: it counts the calls and hands each on to the next function. How it finds that one is chosen
 * at compile time: NEXT by RTLD_NEXT at each call, CONSTRUCTOR once before main, HANDLE in the
 * runtime's library, TABLE in the symbol tables of the modules that were loaded after it, without
 * regard to versions, DRIVER for the driver's functions, INFORMATION for cudaMemGetInfo alone,
 * LOOK_UP by a dlsym of its own that hands out its functions. RESOLVER has its functions chosen by
 * the loader (ifunc), OLD_TABLE is linked without a GNU hash table, VERSIONS has a function for
 * each of several releases; all of these look as NEXT does.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static int taken, given, asked;

__attribute__((destructor)) static void end(void)
{
    fprintf(stderr, "wrapper: %d taken, %d given, %d asked\n", taken, given, asked);
}

#ifdef LOOK_UP
static void *next(const char *name)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    void *(*real)(void *, const char *) = NULL;
    for (size_t i = 0; !real && i < sizeof versions / sizeof versions[0]; i++)
        *(void **)&real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    return real(dlopen("libcudart.so.13", RTLD_LAZY), name);
}
#elif defined HANDLE
static void *next(const char *name)
{
    return dlsym(dlopen("libcudart.so.13", RTLD_LAZY), name);
}
#elif defined TABLE
static void *next(const char *name)
{
    bool is_behind = false;
    for (const struct link_map *module = _r_debug.r_map; module; module = module->l_next) {
        const ElfW(Sym) *symbol = NULL;
        const char *names = NULL;
        for (const ElfW(Dyn) *entry = module->l_ld; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_SYMTAB)
                symbol = (const void *)entry->d_un.d_ptr;
            if (entry->d_tag == DT_STRTAB)
                names = (const void *)entry->d_un.d_ptr;
        }
        if (!is_behind || (uintptr_t)symbol < module->l_addr) { /* the vdso's are not addresses */
            is_behind |= module->l_ld == _DYNAMIC;
            continue;
        }
        for (; (const char *)(symbol + 1) <= names; symbol++) /* linkers put the names behind */
            if (symbol->st_value && !strcmp(names + symbol->st_name, name))
                return (void *)(module->l_addr + symbol->st_value);
    }
    return NULL;
}
#elif defined CONSTRUCTOR
static void *found[2];
__attribute__((constructor)) static void begin(void)
{
    found[0] = dlsym(RTLD_NEXT, "cudaMalloc");
    found[1] = dlsym(RTLD_NEXT, "cudaFree");
}
static void *next(const char *name)
{
    return found[!strcmp(name, "cudaFree")];
}
#else
static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}
#endif

#ifdef DRIVER
EXPORT int cuMemAlloc_v2(void *pointer, size_t bytes)
{
    int (*real)(void *, size_t);
    *(void **)&real = next("cuMemAlloc_v2");
    taken++;
    return real(pointer, bytes);
}

EXPORT int cuMemFree_v2(unsigned long long pointer)
{
    int (*real)(unsigned long long);
    *(void **)&real = next("cuMemFree_v2");
    given++;
    return real(pointer);
}
#elif defined INFORMATION
EXPORT int cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
    int (*real)(size_t *, size_t *);
    *(void **)&real = next("cudaMemGetInfo");
    asked++;
    return real(ret_free, ret_total);
}
#else
#ifdef RESOLVER
#define RUNTIME(name) static int own_##name
#elif defined VERSIONS
#define RUNTIME(name)                                                                              \
    int name##_12(void);                                                                           \
    int name##_14(void);                                                                           \
    __asm__(".symver " #name "_12, " #name "@libcudart.so.12");                                    \
    __asm__(".symver " #name "_13, " #name "@libcudart.so.13");                                    \
    __asm__(".symver " #name "_14, " #name "@@libcudart.so.14");                                   \
    EXPORT int name##_12(void)                                                                     \
    {                                                                                              \
        return 12;                                                                                 \
    }                                                                                              \
    EXPORT int name##_14(void)                                                                     \
    {                                                                                              \
        return 14;                                                                                 \
    }                                                                                              \
    EXPORT int name##_13
#else
#define RUNTIME(name) EXPORT int name
#endif
RUNTIME(cudaMalloc)(void **pointer, size_t bytes)
{
    int (*real)(void **, size_t);
    *(void **)&real = next("cudaMalloc");
    taken++;
    return real(pointer, bytes);
}

RUNTIME(cudaFree)(void *pointer)
{
    int (*real)(void *);
    *(void **)&real = next("cudaFree");
    given++;
    return real(pointer);
}
#endif

#ifdef RESOLVER
typedef int malloc_function(void **pointer, size_t bytes);
typedef int free_function(void *pointer);

__attribute__((used)) static malloc_function *choose_malloc(void)
{
    return own_cudaMalloc;
}

__attribute__((used)) static free_function *choose_free(void)
{
    return own_cudaFree;
}

EXPORT int cudaMalloc(void **pointer, size_t bytes) __attribute__((ifunc("choose_malloc")));
EXPORT int cudaFree(void *pointer) __attribute__((ifunc("choose_free")));
#endif

#ifdef LOOK_UP
EXPORT void *dlsym(void *restrict library, const char *restrict name)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    void *(*real)(void *, const char *) = NULL;
    for (size_t i = 0; !real && i < sizeof versions / sizeof versions[0]; i++)
        *(void **)&real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    asked += !strncmp(name, "cudaM", 5) || !strncmp(name, "cudaF", 5);
    if (!strcmp(name, "cudaMalloc"))
        return (void *)cudaMalloc;
    return strcmp(name, "cudaFree") ? real(library, name) : (void *)cudaFree;
}
#endif
