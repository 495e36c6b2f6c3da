/* SPDX-License-Identifier: MIT */
#include "cupti/activity/activity_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/pages.h"

static const char *const names[] = {"libcupti.so.13", "libcupti.so.12"};

/** Paths of libcupti relative to the folder of a libcudart, and to a toolkit. */
static const char *const beside_runtime[] = {"", "/../extras/CUPTI/lib64", "/../../cuda_cupti/lib"};
static const char *const in_toolkit[] = {"/extras/CUPTI/lib64", "/lib64", "/lib"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void *by_name(int flags)
{
    void *library = NULL;

    for (size_t i = 0; i < COUNT(names) && !library; i++)
        library = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL | flags);
    return library;
}

static void *in_folder(const char *folder, const char *const *below, size_t count)
{
    char *path = pages_map(PATH_MAX);
    void *library = NULL;

    for (size_t i = 0; path && i < count && !library; i++)
        for (size_t k = 0; k < COUNT(names) && !library; k++)
            if (snprintf(path, PATH_MAX, "%s%s/%s", folder, below[i], names[k]) < PATH_MAX)
                library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    pages_unmap(path, PATH_MAX);
    return library;
}

/** The folder of the first libcudart.so of the process. */
static int runtime_folder(struct dl_phdr_info *info, size_t bytes, void *ret)
{
    const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
    size_t length = slash ? (size_t)(slash - info->dlpi_name) : 0;

    if (!slash || length >= PATH_MAX || strncmp(slash + 1, "libcudart.so", 12) != 0)
        return 0;
    memcpy(ret, info->dlpi_name, length);
    ((char *)ret)[length] = 0;
    return 1;
}

static void *library_find(void)
{
    static const char *const variables[] = {"CUDA_HOME", "CUDA_PATH"};
    char *folder = pages_map(PATH_MAX);
    void *library = by_name(RTLD_NOLOAD);

    if (!library)
        library = by_name(0);
    if (!library && folder && dl_iterate_phdr(runtime_folder, folder))
        library = in_folder(folder, beside_runtime, COUNT(beside_runtime));
    for (size_t i = 0; i < COUNT(variables) && !library; i++)
        if (getenv(variables[i]) && *getenv(variables[i]))
            library = in_folder(getenv(variables[i]), in_toolkit, COUNT(in_toolkit));
    dlerror(); /* what was tried is not the program's business */
    pages_unmap(folder, PATH_MAX);
    return library;
}

/** Symbols by which the simulated device identifies its driver and its CUPTI. */
static bool is_foreign(activity_look_up *look_up, void *library)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    bool foreign = driver && look_up(driver, "simgpu_calls") && !look_up(library, "simgpu_cupti");

    if (driver)
        dlclose(driver);
    return foreign;
}

int activity_library_open(activity_look_up *look_up, struct cupti_abi_functions *ret_functions,
                          char *ret_path, size_t path_bytes)
{
    struct cupti_abi_functions found = {0};
    struct link_map *map = NULL;
    bool whole = true, foreign;
    void *library = library_find();

    if (!library)
        return -ENOENT;
#define FIND(name, parameters) *(void **)&found.name = look_up(library, #name);
#define NEED(name, parameters) whole = whole && found.name;
    CUPTI_ABI_REQUIRED(FIND)
    CUPTI_ABI_OPTIONAL(FIND)
    CUPTI_ABI_REQUIRED(NEED)
#undef FIND
#undef NEED
    dlerror();
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) < 0)
        map = NULL;
    snprintf(ret_path, path_bytes, "%s", map ? map->l_name : "");
    foreign = is_foreign(look_up, library);
    dlerror();
    if (!whole || foreign) {
        dlclose(library);
        return foreign ? -EXDEV : -ENOSYS;
    }
    *ret_functions = found;
    return 0;
}
