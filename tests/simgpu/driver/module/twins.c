/* SPDX-License-Identifier: MIT */
/*
 * Host twins: every shared object of one directory, loaded once and kept. Immutable after
 * twins_open().
 */
#include "tests/simgpu/driver/module/module.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void load_all(void)
{
    const char *chosen = getenv("SIMGPU_TWINS");
    static char directory[2048], path[4096]; /* once, perhaps on a small stack */

    if (chosen && *chosen)
        snprintf(directory, sizeof directory, "%s", chosen);
    else
        library_beside("twins", directory, sizeof directory);
    DIR *list = opendir(directory);
    if (!list)
        return;
    for (struct dirent *each; (each = readdir(list));) {
        size_t length = strlen(each->d_name);

        if (length < 4 || strcmp(each->d_name + length - 3, ".so"))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, each->d_name);
        load(path);
    }
    closedir(list);
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
