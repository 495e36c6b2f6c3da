/* SPDX-License-Identifier: MIT */
/*
 * The look-up hooks: dlsym and dlvsym, both versions of cuGetProcAddress, cudaGetDriverEntryPoint.
 *
 * The real resolver always chooses first, with the program's arguments, so versions, flags, status
 * and errors are its own. Only then is its result compared with the driver's exported functions,
 * and replaced by the hook of exactly that function. A name alone never selects a hook: its ABI
 * might differ.
 *
 * dlsym depends on its caller. Names that are not hooked, and look-ups by the driver itself, are
 * forwarded by a jump (dlsym_entry.c). For hooked names:
 *   an explicit handle    the real answer, then replacement;
 *   RTLD_DEFAULT, NULL    what the program would have found without us, then replacement;
 *   RTLD_NEXT             from a module before us in the search order: the same. From a module
 * behind us, which stands in for the runtime or the driver: the real answer, but our hook where
 * that is the driver's function. Only a function of a runtime or of the driver is ever replaced,
 * and by the entry point of exactly that library; another module's function of the same name is
 * returned unchanged.
 *
 * Where another module behind us has its own dlsym, that one is asked in place of the real one.
 *
 * The real look-up decides about versions, so dlvsym without a handle returns a hook only where the
 * real function it found has one. Results from a namespace of dlmopen are not replaced: the CUDA
 * there is not the one behind our hooks.
 */
#include "shim/entry/look_up.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#include "shim/hooks/call.h"
#include "shim/entry/cupti_api.h"
#include "shim/entry/entry.h"
#include "shim/resolve/next.h"
#include "shim/resolve/real.h"
#include "shim/entry/relocate.h"
#include "shim/shim.h"

/* Another module's dlsym behind ours is called as if we were not there, except by that module. */
static real_dlsym_function *behind_us(const void *caller)
{
    real_dlsym_function *next = real_dlsym_next();

    return next == real_dlsym_get() || real_is_same_module((void *)next, caller) ? real_dlsym_get()
                                                                                 : next;
}

static struct dlsym_answer forward(const void *caller)
{
    return (struct dlsym_answer){.forward_to = (uintptr_t)behind_us(caller)};
}

static struct dlsym_answer answer(void *value)
{
    return (struct dlsym_answer){.value = value};
}

static void *real_of(const struct driver_functions *driver, const struct hook *hook)
{
    return *(void **)((char *)driver + hook->real);
}

void *look_up_driver_pointer(void *function)
{
    const struct driver_functions *driver = function ? real_driver_if_loaded() : NULL;

    if (!driver)
        return function;
    for (int id = 0; id < HOOK_COUNT; id++)
        if (hooks[id].family == HOOK_FAMILY_DRIVER && real_of(driver, &hooks[id]) == function)
            return entry_of(&hooks[id], 0);
    return function;
}

static void *substitute(const struct hook *hook, void *function)
{
    int library;

    if (!function || real_is_own(function) || shim_mode() == SHIM_OFF ||
        !real_is_in_our_namespace(function))
        return function;
    if (hook->family == HOOK_FAMILY_DRIVER)
        function = look_up_driver_pointer(function);
    else if ((library = real_runtime_of(hook, function)) >= 0)
        function = entry_of(hook, (unsigned)library);
    dlerror(); /* this look-up succeeded, whatever was tried meanwhile */
    return function;
}

/* True when the module comes before this library in load order. */
static bool is_before_us(const void *code)
{
    Dl_info info;
    struct link_map *caller = NULL, *own = NULL;

    if (!dladdr1(code, &info, (void **)&caller, RTLD_DL_LINKMAP) ||
        !dladdr1((void *)look_up_dlsym, &info, (void **)&own, RTLD_DL_LINKMAP))
        return false;
    for (; caller; caller = caller->l_next)
        if (caller == own)
            return true;
    return false;
}

/* Searches the caller's own scope last. A failure leaves an error, which closing the module has
 * taken away again. */
static void *dlsym_near(const void *caller, const char *name)
{
    void *function = real_dlsym_near(caller, name);

    return function ? function : real_dlsym(RTLD_NEXT, name);
}

static void *dlvsym_near(const void *caller, const char *name, const char *version)
{
    void *function = real_dlvsym_near(caller, name, version);

    return function ? function : real_dlvsym(RTLD_NEXT, name, version);
}

static struct dlsym_answer resolve_default(const struct hook *hook, const void *caller)
{
    void *function = real_dlsym_global(hook->name);

    if (!function || real_is_own(function))
        function = real_dlsym(RTLD_NEXT, hook->name);
    if (!function)
        function = dlsym_near(caller, hook->name);
    return answer(substitute(hook, function));
}

static struct dlsym_answer resolve_next(const struct hook *hook, const void *caller)
{
    void *function;

    if (is_before_us(caller)) {
        function = next_before_us(hook->name, caller);
        return answer(substitute(hook, function ? function : real_dlsym(RTLD_NEXT, hook->name)));
    }
    if (hook->family == HOOK_FAMILY_RUNTIME)
        return forward(caller);
    function = next_loaded(hook->name, caller);
    return real_is_driver_function(hook, function) ? answer(substitute(hook, function))
                                                   : forward(caller);
}

static bool is_special(const void *handle)
{
    return handle == RTLD_DEFAULT || handle == RTLD_NEXT;
}

/* A program that looks up dlsym itself gets ours; otherwise its look-ups would bypass us. */
static void *substitute_look_up(void *function)
{
    if (function && function == (void *)real_dlsym_get())
        return (void *)dlsym;
    return function && function == (void *)real_dlvsym_get() ? (void *)dlvsym : function;
}

/*
 * Handles names that are not hooked. A sanitizer looks up the functions it replaces (RTLD_NEXT)
 * before its own strcmp or dl_iterate_phdr can be called, so these look-ups are forwarded without
 * a call of libc.
 */
static struct dlsym_answer resolve_unhooked(void *handle, const char *name, const void *caller)
{
    if (!name || is_special(handle))
        return forward(caller);
    relocate_new_modules();
    if (strcmp(name, "dlsym") != 0 && strcmp(name, "dlvsym") != 0)
        return forward(caller);
    return answer(substitute_look_up(real_dlsym(handle, name)));
}

/* Finds a CUPTI function as it would be found without us. */
static void *cupti_function(void *handle, const char *name, const void *caller)
{
    void *function = is_special(handle) ? NULL : real_dlsym(handle, name);

    if (handle == RTLD_NEXT)
        function = next_before_us(name, caller);
    if (function && !real_is_own(function))
        return function;
    if (!is_special(handle) && !function)
        return NULL;
    function = real_dlsym(RTLD_NEXT, name); /* behind us in the global scope */
    if (!function && handle == RTLD_DEFAULT)
        function = dlsym_near(caller, name);
    return function && !real_is_own(function) ? function : NULL;
}

/* Looks up the CUPTI functions with which another client begins; as the others, but for the
 * family. */
static struct dlsym_answer resolve_cupti(void *handle, const char *name, const void *caller)
{
    enum cupti_api_id id = cupti_api_find(name);

    if (id == CUPTI_API_COUNT || (handle == RTLD_NEXT && !is_before_us(caller)))
        return resolve_unhooked(handle, name, caller);
    void *function = cupti_function(handle, name, caller);
    if (!function || shim_mode() == SHIM_OFF)
        return answer(function);
    if (handle != RTLD_NEXT && handle != RTLD_DEFAULT)
        cupti_api_note(id, function);
    dlerror();
    return answer(cupti_api_entry(id));
}

static bool is_of_cupti(const char *name)
{
    return name && name[0] == 'c' && name[1] == 'u' && name[2] == 'p';
}

static struct dlsym_answer resolve_hooked(void *handle, const struct hook *hook, const void *caller)
{
    if (handle == RTLD_DEFAULT)
        return resolve_default(hook, caller);
    if (handle == RTLD_NEXT)
        return resolve_next(hook, caller);
    relocate_new_modules();
    void *function = real_dlsym(handle, hook->name);
    if (function && real_is_own(function)) /* the global scope by its handle */
        return resolve_default(hook, caller);
    return answer(substitute(hook, function));
}

/* Lets another module's dlsym, which is next, choose. A result inside this library is resolved
 * like any look-up of our own. */
static struct dlsym_answer resolve_by(real_dlsym_function *look_up, void *handle,
                                      const struct hook *hook, const void *caller)
{
    if (!is_special(handle))
        relocate_new_modules();
    void *function = look_up(handle, hook->name);
    if (function && real_is_own(function) && is_special(handle))
        return resolve_hooked(handle, hook, caller);
    return answer(substitute(hook, function));
}

struct dlsym_answer look_up_dlsym(void *handle, const char *name, const void *caller)
{
    const struct hook *hook = name ? hook_find(name) : NULL;

    if (!hook)
        return is_of_cupti(name) ? resolve_cupti(handle, name, caller)
                                 : resolve_unhooked(handle, name, caller);
    if (real_is_driver_code(caller))
        return forward(caller);
    if (behind_us(caller) != real_dlsym_get())
        return resolve_by(behind_us(caller), handle, hook, caller);
    return resolve_hooked(handle, hook, caller);
}

static struct dlsym_answer forward_versioned(void)
{
    return (struct dlsym_answer){.forward_to = (uintptr_t)real_dlvsym_get()};
}

/* Without strcmp, see resolve_unhooked. */
static bool is_look_up(const char *name)
{
    if (name[0] != 'd' || name[1] != 'l')
        return false;
    name += name[2] == 'v' ? 3 : 2;
    return name[0] == 's' && name[1] == 'y' && name[2] == 'm' && !name[3];
}

struct dlsym_answer look_up_dlvsym(void *handle, const char *name, const char *version,
                                   const void *caller)
{
    const struct hook *hook = name ? hook_find(name) : NULL;
    bool special = is_special(handle);

    if (!hook && (!name || !is_look_up(name)))
        return forward_versioned();
    /* For a module before us we are the next one; for a module behind us the search continues
     * behind us. */
    if (special && !is_before_us(caller) && (!hook || handle == RTLD_NEXT))
        return forward_versioned();
    if (hook && real_is_driver_code(caller))
        return forward_versioned();
    if (!special)
        relocate_new_modules();
    void *function = real_dlvsym(special ? RTLD_NEXT : handle, name, version);
    if (hook && function && real_is_own(function))
        function = real_dlvsym(RTLD_NEXT, name, version);
    if (hook && !function && handle == RTLD_DEFAULT)
        function = dlvsym_near(caller, name, version);
    if (hook)
        return answer(substitute(hook, function));
    return function ? answer(substitute_look_up(function)) : forward_versioned();
}

static void substitute_found(int result, void **pfn)
{
    if (result == 0 && pfn && shim_mode() != SHIM_OFF)
        *pfn = look_up_driver_pointer(*pfn);
}

CUresult cuGetProcAddress(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuGetProcAddress)
        return MISSING_DRIVER;
    CUresult result = real->cuGetProcAddress(symbol, pfn, cudaVersion, flags);
    substitute_found(result, pfn);
    return result;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *symbolStatus)
{
    const struct driver_functions *real = real_driver();

    if (!real || !real->cuGetProcAddress_v2)
        return MISSING_DRIVER;
    CUresult result = real->cuGetProcAddress_v2(symbol, pfn, cudaVersion, flags, symbolStatus);
    substitute_found(result, pfn);
    return result;
}

#define ENTRY_POINT_BODY(name, ...)                                                                \
    const struct runtime_functions *real = CALL_REAL_RUNTIME();                                    \
    if (!real || !real->name)                                                                      \
        return MISSING_RUNTIME;                                                                    \
    cudaError_t result = real->name(__VA_ARGS__);                                                  \
    substitute_found(result, funcPtr);                                                             \
    return result;

cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **funcPtr, unsigned long long flags,
                                    enum cudaDriverEntryPointQueryResult *driverStatus)
{
    ENTRY_POINT_BODY(cudaGetDriverEntryPoint, symbol, funcPtr, flags, driverStatus);
}

cudaError_t cudaGetDriverEntryPoint_ptsz(const char *symbol, void **funcPtr,
                                         unsigned long long flags,
                                         enum cudaDriverEntryPointQueryResult *driverStatus)
{
    ENTRY_POINT_BODY(cudaGetDriverEntryPoint_ptsz, symbol, funcPtr, flags, driverStatus);
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **funcPtr,
                                             unsigned int cudaVersion, unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *driverStatus)
{
    ENTRY_POINT_BODY(cudaGetDriverEntryPointByVersion, symbol, funcPtr, cudaVersion, flags,
                     driverStatus);
}

cudaError_t cudaGetDriverEntryPointByVersion_ptsz(
    const char *symbol, void **funcPtr, unsigned int cudaVersion, unsigned long long flags,
    enum cudaDriverEntryPointQueryResult *driverStatus)
{
    ENTRY_POINT_BODY(cudaGetDriverEntryPointByVersion_ptsz, symbol, funcPtr, cudaVersion, flags,
                     driverStatus);
}
