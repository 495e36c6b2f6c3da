/* SPDX-License-Identifier: MIT */
/*
 * Finds real functions. See real.h for the rules.
 *
 * The real dlvsym is read from libc's symbol table, without the loader's look-up functions:
 * nothing else leads to it, because this library's own comes first. It finds the real dlsym.
 * Tables are filled privately, published whole under a lock, and never withdrawn.
 *
 * The functions of a library that the program is linked with are found without the loader, because
 * they may be needed while it is loading another library, whose constructor waits for this call.
 */
#include "shim/resolve/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <string.h>

#include "cupti/base/pages.h"
#include "cupti/stack/module_symbol.h"
#include "shim/resolve/modules.h"

extern const char own_begin[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));
extern const char own_end[] __asm__("_end") __attribute__((visibility("hidden")));

_Thread_local unsigned real_library;

struct runtime_library {
    const void *base; /* where it begins; like all fields immutable once counted */
    int version;
    struct runtime_functions functions;
};

#define DRIVER_NAME  "libcuda.so.1"
#define DRIVER_SINCE 4000 /* every driver has the functions of this release */

/* Never held around a call of the loader: a constructor that runs under the loader's lock may be
 * waiting for it. */
static pthread_mutex_t publish_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool resolving;

static _Atomic(real_dlsym_function *) dlsym_pointer;
static _Atomic(real_dlvsym_function *) dlvsym_pointer;
static _Atomic(real_dlsym_function *) dlsym_next_pointer;
static struct driver_functions driver_storage; /* guarded by publish_lock until published */
_Atomic(const struct driver_functions *) real_driver_table;
static _Atomic(const void *) driver_base;

/* Entries below the count are immutable; publish_lock guards the appending. */
static struct runtime_library libraries[REAL_LIBRARIES];
static atomic_int library_count;

bool real_is_own(const void *address)
{
    return (const char *)address >= own_begin && (const char *)address < own_end;
}

/*
 * Returns the first definition in load order, of any version, in a module loaded after this library
 * and at start. NULL: none. Calls nothing that a sanitizer replaces. libc is loaded at the start of
 * the program, so the walk ends before anything that may be unloaded.
 */
static void *symbol_behind(const char *name)
{
    Dl_info info;
    struct link_map *module = NULL;

    if (!dladdr1((void *)symbol_behind, &info, (void **)&module, RTLD_DL_LINKMAP) || !module)
        return NULL;
    for (module = module->l_next; module; module = module->l_next) {
        struct symbol_place found = module_symbol_in(module->l_addr, module->l_ld, name);

        if (found.address)
            return module_symbol_function(found);
    }
    return NULL;
}

real_dlvsym_function *real_dlvsym_get(void)
{
    real_dlvsym_function *found = atomic_load_explicit(&dlvsym_pointer, memory_order_relaxed);

    if (!found) {
        found = (real_dlvsym_function *)symbol_behind("dlvsym");
        atomic_store_explicit(&dlvsym_pointer, found, memory_order_relaxed);
    }
    return found;
}

void *real_dlvsym(void *handle, const char *name, const char *version)
{
    real_dlvsym_function *look_up = real_dlvsym_get();
    void *found = look_up ? look_up(handle, name, version) : NULL;

    __asm__ volatile("" : "+r"(found)); /* as in real_dlsym */
    return found;
}

real_dlsym_function *real_dlsym_get(void)
{
    /* glibc since 2.34; x86-64 before; aarch64 before. */
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    real_dlsym_function *found = atomic_load_explicit(&dlsym_pointer, memory_order_relaxed);

    for (size_t i = 0; !found && i < sizeof(versions) / sizeof(versions[0]); i++) {
        found = (real_dlsym_function *)real_dlvsym(RTLD_NEXT, "dlsym", versions[i]);
        atomic_store_explicit(&dlsym_pointer, found, memory_order_relaxed);
    }
    return found;
}

void *real_dlsym(void *handle, const char *name)
{
    real_dlsym_function *look_up = real_dlsym_get();
    void *found = look_up ? look_up(handle, name) : NULL;

    /* RTLD_NEXT counts from the caller's module, so this must remain a call and not become a
     * jump. */
    __asm__ volatile("" : "+r"(found));
    return found;
}

void *real_dlsym_global(const char *name)
{
    void *program = dlopen(NULL, RTLD_LAZY);
    void *found = program ? real_dlsym(program, name) : NULL;

    if (program)
        dlclose(program);
    return found;
}

real_dlsym_function *real_dlsym_next(void)
{
    real_dlsym_function *next = atomic_load_explicit(&dlsym_next_pointer, memory_order_relaxed);

    if (!next) {
        next = (real_dlsym_function *)real_dlsym(RTLD_NEXT, "dlsym");
        if (!next)
            next = real_dlsym_get();
        atomic_store_explicit(&dlsym_next_pointer, next, memory_order_relaxed);
    }
    return next;
}

bool real_is_in_our_namespace(const void *code)
{
    Dl_info info;
    struct link_map *module = NULL;
    Lmid_t space = LM_ID_BASE;

    return !dladdr1(code, &info, (void **)&module, RTLD_DL_LINKMAP) || !module ||
           dlinfo(module, RTLD_DI_LMID, &space) != 0 || space == LM_ID_BASE;
}

bool real_is_driver_code(const void *code)
{
    const void *base = atomic_load_explicit(&driver_base, memory_order_relaxed);

    return base && module_base(code) == base;
}

bool real_is_driver_function(const struct hook *hook, const void *function)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    return driver && *(void **)((char *)driver + hook->real) == function;
}

/* Where functions are looked up. */
struct source {
    void *handle; /* NULL: in the module */
    struct module_place module;
};

static void *source_find(const struct source *source, const char *name)
{
    if (source->handle)
        return real_dlsym(source->handle, name);
    return module_symbol_function(
        module_symbol_in(source->module.base, source->module.dynamic, name));
}

/* A function pointer is written through void *, as dlsym itself demands. */
static void functions_fill(void *functions, const struct source *source, enum hook_family family)
{
    for (int id = 0; id < HOOK_COUNT; id++)
        if (hooks[id].family == family)
            *(void **)((char *)functions + hooks[id].real) = source_find(source, hooks[id].name);
}

static void driver_fill(struct driver_functions *functions, const struct source *source)
{
    functions_fill(functions, source, HOOK_FAMILY_DRIVER);
#define DRIVER_CALL(name) *(void **)&functions->name = source_find(source, #name);
#include "shim/resolve/driver_calls.def"
}

static void driver_publish(const struct driver_functions *functions)
{
    atomic_store_explicit(&driver_base, module_base((void *)functions->cuCtxGetCurrent),
                          memory_order_relaxed);
    pthread_mutex_lock(&publish_lock);
    if (!atomic_load_explicit(&real_driver_table, memory_order_relaxed)) {
        driver_storage = *functions;
        atomic_store_explicit(&real_driver_table, &driver_storage, memory_order_release);
    }
    pthread_mutex_unlock(&publish_lock);
}

/* A library of the driver's name may define some functions, or none, and lead to another one that
 * has the rest. */
static bool has_driver(const struct source *source)
{
    for (int id = 0; id < HOOK_COUNT; id++)
        if (hooks[id].family == HOOK_FAMILY_DRIVER && hooks[id].since <= DRIVER_SINCE &&
            !source_find(source, hooks[id].name))
            return false;
    return source_find(source, "cuCtxGetCurrent");
}

static bool driver_find(bool may_load, struct source *ret_source)
{
    *ret_source = (struct source){0};
    if (module_linked_named(DRIVER_NAME, &ret_source->module) && has_driver(ret_source))
        return true;
    ret_source->handle = dlopen(DRIVER_NAME, RTLD_NOLOAD | RTLD_LAZY);
    if (!ret_source->handle && may_load)
        ret_source->handle = dlopen(DRIVER_NAME, RTLD_LAZY);
    return ret_source->handle;
}

const struct driver_functions *real_driver_resolve(bool may_load)
{
    struct source source;

    if (resolving)
        return NULL;
    int saved_errno = errno;
    resolving = true;
    bool found = driver_find(may_load, &source);
    if (found) {
        /* Too large for a thread's stack. */
        struct driver_functions *functions = pages_map(sizeof(*functions));

        if (functions)
            driver_fill(functions, &source);
        if (functions && functions->cuCtxGetCurrent)
            driver_publish(functions);
        pages_unmap(functions, sizeof(*functions));
    }
    if (!found || source.handle)
        dlerror(); /* what is missing, or names that an old driver lacks, are no error of the
                    * program's */
    resolving = false;
    errno = saved_errno;
    return atomic_load_explicit(&real_driver_table, memory_order_acquire);
}

void *real_driver_symbol(const char *name)
{
    struct source source;
    bool loaded = driver_find(false, &source);
    void *found = loaded ? source_find(&source, name) : NULL;

    if (source.handle)
        dlclose(source.handle); /* the driver stays: its functions are in use */
    if (!loaded || source.handle)
        dlerror();
    return found;
}

/* Returns the path of the module at an address; NULL for the main program and for none. */
static const char *module_path(const void *code)
{
    Dl_info info;
    struct link_map *map = NULL;

    if (!dladdr1(code, &info, (void **)&map, RTLD_DL_LINKMAP) || !map || !map->l_name[0])
        return NULL;
    return map->l_name;
}

/* Opens the module at a code address with its dependencies. Close the handle again, so that the
 * caller can be unloaded as usual. NULL for the main program. */
static void *module_open(const void *code)
{
    const char *path = module_path(code);

    return path ? dlopen(path, RTLD_NOLOAD | RTLD_LAZY) : NULL;
}

void *real_dlsym_near(const void *code, const char *name)
{
    void *handle = module_open(code), *found = handle ? real_dlsym(handle, name) : NULL;

    if (handle)
        dlclose(handle);
    return found;
}

void *real_dlvsym_near(const void *code, const char *name, const char *version)
{
    void *handle = module_open(code), *found = handle ? real_dlvsym(handle, name, version) : NULL;

    if (handle)
        dlclose(handle);
    return found;
}

bool real_is_same_module(const void *a, const void *b)
{
    return module_base(a) == module_base(b);
}

static struct runtime_library *library_at(const void *base)
{
    int count = atomic_load_explicit(&library_count, memory_order_acquire);

    for (int i = 0; i < count; i++)
        if (libraries[i].base == base)
            return &libraries[i];
    return NULL;
}

static struct runtime_library *library_add(const void *base, int version,
                                           const struct runtime_functions *functions)
{
    pthread_mutex_lock(&publish_lock);
    int count = atomic_load_explicit(&library_count, memory_order_relaxed);
    struct runtime_library *library = library_at(base);
    if (!library && count < REAL_LIBRARIES) {
        library = &libraries[count];
        *library = (struct runtime_library){
            .base = base, .version = version, .functions = *functions};
        atomic_store_explicit(&library_count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&publish_lock);
    return library;
}

/* The call needs no device and does not change the last error. */
static int runtime_version(const struct source *source)
{
    __typeof__(cudaRuntimeGetVersion) *get = (__typeof__(get))source_find(source,
                                                                          "cudaRuntimeGetVersion");
    int version = 0;

    return get && get(&version) == cudaSuccess ? version : 0;
}

/* Packages rename their copies: libcudart-a3b2c1.so.12. */
static bool is_runtime_name(const char *soname)
{
    return strncmp(soname, "libcudart", 9) == 0 && strstr(soname, ".so");
}

/* Functions that every runtime since FAMILY_SINCE defines itself, not in a library that it is
 * linked with. */
#define FAMILY_SINCE 5000

static bool has_family(const struct source *source, const struct runtime_functions *functions,
                       const void *base)
{
    static const char *const others[] = {"cudaGetLastError", "cudaMemcpy", "cudaStreamCreate",
                                         "cudaRuntimeGetVersion", "__cudaRegisterFatBinary"};

    for (int id = 0; id < HOOK_COUNT; id++)
        if (hooks[id].family == HOOK_FAMILY_RUNTIME && hooks[id].since <= FAMILY_SINCE &&
            module_base(*(void **)((char *)functions + hooks[id].real)) != base)
            return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (module_base(source_find(source, others[i])) != base)
            return false;
    return true;
}

static struct runtime_library *library_of(void *function)
{
    const void *base = module_base(function);
    struct runtime_library *library = library_at(base);

    if (library || !module_soname_is(function, is_runtime_name))
        return library;
    struct source source = {0};
    if (!module_linked_at(function, &source.module))
        source.handle = module_open(function);
    if (!source.handle && !source.module.dynamic)
        return NULL;
    struct runtime_functions functions = {0};
    functions_fill(&functions, &source, HOOK_FAMILY_RUNTIME);
    if (has_family(&source, &functions, base))
        library = library_add(base, runtime_version(&source), &functions);
    if (!library && source.handle)
        dlclose(source.handle);
    if (source.handle)
        dlerror();
    return library;
}

int real_runtime_of(const struct hook *hook, void *function)
{
    struct runtime_library *library = library_of(function);

    if (!library || *(void **)((char *)&library->functions + hook->real) != function)
        return -1;
    return (int)(library - libraries);
}

const struct runtime_functions *real_runtime_at(unsigned library)
{
    return library < REAL_LIBRARIES ? &libraries[library].functions : NULL;
}

int real_runtime_version(void)
{
    return atomic_load_explicit(&library_count, memory_order_acquire) ? libraries[0].version : 0;
}

void real_fork_child(void)
{
    pthread_mutex_init(&publish_lock, NULL);
}
