/* SPDX-License-Identifier: MIT */
/*
 * An auditor of the dynamic loader (rtld-audit(7)), for LD_AUDIT: wherever a program finds a
 * library of CUDA by name, by RPATH or by path, it gets the simulated one beside this file, if
 * there is one. LD_LIBRARY_PATH alone comes after RPATH, and says nothing about a path with a
 * slash. A runtime that is inside a module is replaced there (inside.h).
 *
 * Nothing is loaded that the program does not ask for, and a path that does not exist stays one.
 * Calls are not audited, so they cost nothing. The loader calls under its lock: one call at a time.
 */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/simgpu/inside.h"

#define API __attribute__((visibility("default")))

static char folder[PATH_MAX]; /* with its slash; empty: nothing is changed */

API unsigned la_version(unsigned version)
{
    Dl_info self;
    char *slash;

    if (dladdr(folder, &self) && strlen(self.dli_fname) < sizeof folder) {
        strcpy(folder, self.dli_fname);
        slash = strrchr(folder, '/');
        folder[slash ? slash + 1 - folder : 0] = '\0';
    }
    return version < LAV_CURRENT ? version : LAV_CURRENT;
}

static bool is_of_cuda(const char *name)
{
    return !strncmp(name, "libcu", 5) || !strncmp(name, "libnvidia-ml.so", 15);
}

API char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag)
{
    static char found[PATH_MAX];
    const char *slash = strrchr(name, '/'), *own = slash ? slash + 1 : name;

    (void)cookie;
    if (flag == LA_SER_ORIG && *folder && is_of_cuda(own) && (!slash || !access(name, F_OK)) &&
        snprintf(found, sizeof found, "%s%s", folder, own) < (int)sizeof found &&
        !access(found, R_OK))
        return found;
    return (char *)name;
}

API unsigned la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie)
{
    const char *path = *map->l_name ? map->l_name : "/proc/self/exe";

    (void)space, (void)cookie;
    if (*folder && strncmp(path, folder, strlen(folder)) != 0)
        inside_replace(path, map->l_addr, folder);
    return 0;
}
