/* SPDX-License-Identifier: MIT */
/*
 * A process may hold several CUPTI libraries. The real function is the one that the caller's
 * module depends on; else the one looked up last; else the next in the global scope.
 */
#include "shim/entry/cupti_api.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#include "cupti/activity/activity.h"
#include "shim/resolve/real.h"
#include "shim/shim.h"

static const struct {
    const char *name;
    void *entry;
} functions[CUPTI_API_COUNT] = {
#define CUPTI_API(name, begins, parameters, arguments) [CUPTI_API_##name] = {#name, (void *)name},
#include "shim/resolve/cupti_api.def"
#undef CUPTI_API
};

static void *_Atomic noted[CUPTI_API_COUNT];

enum cupti_api_id cupti_api_find(const char *name)
{
    int id = 0;

    while (id < CUPTI_API_COUNT && strcmp(functions[id].name, name) != 0)
        id++;
    return (enum cupti_api_id)id;
}

void *cupti_api_entry(enum cupti_api_id id)
{
    return functions[id].entry;
}

void cupti_api_note(enum cupti_api_id id, void *function)
{
    atomic_store(&noted[id], function);
}

static void *not_own(void *function)
{
    return function && !real_is_own(function) ? function : NULL;
}

void *cupti_api_real(enum cupti_api_id id, const void *caller)
{
    void *function = not_own(real_dlsym_near(caller, functions[id].name));

    if (!function)
        function = atomic_load(&noted[id]);
    if (!function)
        function = not_own(real_dlsym(RTLD_NEXT, functions[id].name));
    dlerror();
    return function;
}

enum begins { SUBSCRIBES, BUFFERS };

static void other_client(enum begins begins)
{
    if (shim_mode() != SHIM_OFF &&
        (begins == BUFFERS || shim_options()->cupti == OPTION_CUPTI_AUTO))
        activity_give_way();
}

#define CUPTI_API(name, begins, parameters, arguments)                                             \
    int name parameters                                                                            \
    {                                                                                              \
        int(*real) parameters;                                                                     \
        *(void **)&real = cupti_api_real(CUPTI_API_##name, __builtin_return_address(0));           \
        other_client(begins);                                                                      \
        return real ? real arguments : CUPTI_ABI_ERROR_UNKNOWN;                                    \
    }
#include "shim/resolve/cupti_api.def"
#undef CUPTI_API
