/* SPDX-License-Identifier: MIT */
/*
 * Host twins: every shared object of one directory, and cupool's own, loaded once and kept.
 * Immutable after twins_open().
 */
#include "tests/simgpu/driver/module/module.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/simgpu/driver/base/profile.h"

struct table {
    struct table *next;
    const struct simgpu_twin *twins;
    size_t count;
};

static struct table *tables;
static pthread_once_t open_once = PTHREAD_ONCE_INIT;

static void load(const char *path)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct simgpu_twin *(*twins)(size_t *) = object ? dlsym(object, "simgpu_twins") : NULL;
    struct table *made = twins ? malloc(sizeof *made) : NULL;

    if (!object)
        fprintf(stderr, "simgpu: %s\n", dlerror());
    if (!made)
        return;
    made->twins = twins(&made->count);
    made->next = tables;
    tables = made;
}

static void load_folder(const char *folder)
{
    static char path[4096]; /* once, perhaps on a small stack */
    DIR *list = opendir(folder);

    if (!list)
        return;
    for (struct dirent *each; (each = readdir(list));) {
        size_t length = strlen(each->d_name);

        if (length < 4 || strcmp(each->d_name + length - 3, ".so"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, each->d_name);
        load(path);
    }
    closedir(list);
}

static void load_all(void)
{
    const char *chosen = getenv("SIMGPU_TWINS");
    static char beside[2048];

    if (!chosen || !*chosen) {
        library_beside("twins", beside, sizeof beside);
        load_folder(beside);
        return;
    }
    /* cupool's own kernels run whatever the program's twins are. */
    library_beside("twins/kernels.so", beside, sizeof beside);
    if (access(beside, F_OK) == 0)
        load(beside);
    load_folder(chosen);
}

void twins_open(void)
{
    pthread_once(&open_once, load_all);
}

const struct simgpu_twin *twin_find(const char *name)
{
    for (const struct table *table = tables; table; table = table->next)
        for (size_t i = 0; i < table->count; i++)
            if (!strcmp(table->twins[i].name, name))
                return &table->twins[i];
    return NULL;
}
