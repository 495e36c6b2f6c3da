/* SPDX-License-Identifier: MIT */
/*
 * The owner of every function of the entry points: with an argument, the module and name of each
 * pointer, otherwise only whether it exists.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "route.h"
#include "program.h"

static void say(const char *name, void *function, bool aloud)
{
    Dl_info info = {0};
    bool found = function && dladdr(function, &info) && info.dli_fname;

    if (!aloud) {
        printf("%s: %d\n", name, found);
        return;
    }
    const char *file = found ? strrchr(info.dli_fname, '/') : NULL;
    printf("%s %s %s\n", name, file ? file + 1 : "-",
           found && info.dli_sname ? info.dli_sname : "-");
}

int program_whose(const char *self, const char *route, const char *argument)
{
    route_start();
    if (route_is_runtime) {
#define X(name) say(#name, (void *)route_runtime.name, argument);
        ROUTE_RUNTIME_FUNCTIONS(X)
#undef X
    } else {
#define X(name) say(#name, (void *)route_driver.name##_, argument);
        ROUTE_DRIVER_FUNCTIONS(X)
#undef X
    }
    return 0;
}
