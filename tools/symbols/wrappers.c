/* SPDX-License-Identifier: MIT */
#include "tools/symbols/wrappers.h"

#include <errno.h>
#include <fnmatch.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/texts.h"
#include "tools/symbols/function_name.h"

#define NAME_BYTES 512

struct wrapper {
    const char *module, *function; /* file name, qualified name; texts, kept once each */
};

static struct {
    struct texts texts;
    struct wrapper **row;
    size_t rows;
    void *tree; /* of struct wrapper */
    const char **glob;
    size_t globs;
    unsigned version;
} set;

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

static int wrapper_compare(const void *a, const void *b)
{
    const struct wrapper *left = a, *right = b;
    int order = strcmp(left->module, right->module);

    return order ? order : strcmp(left->function, right->function);
}

int wrappers_glob_add(const char *glob)
{
    const char **grown = realloc(set.glob, (set.globs + 1) * sizeof *grown);
    const char *kept = texts_keep(&set.texts, glob);

    set.glob = grown ? grown : set.glob;
    if (!grown || !kept)
        return -ENOMEM;
    set.glob[set.globs++] = kept;
    set.version++;
    return 0;
}

int wrappers_add(const char *module, const char *function)
{
    struct wrapper **grown, *row;
    char name[NAME_BYTES];

    if (wrappers_has(module, function))
        return 0;
    function_name_copy(function, name, sizeof name);
    grown = realloc(set.row, (set.rows + 1) * sizeof *grown);
    set.row = grown ? grown : set.row;
    row = grown ? malloc(sizeof *row) : NULL;
    if (!row)
        return -ENOMEM;
    *row = (struct wrapper){texts_keep(&set.texts, file_name(module)),
                            texts_keep(&set.texts, name)};
    if (!row->module || !row->function || !tsearch(row, &set.tree, wrapper_compare)) {
        free(row);
        return -ENOMEM;
    }
    set.row[set.rows++] = row;
    set.version++;
    return 1;
}

static bool fits_glob(const char *module, const char *function, const char *name)
{
    for (size_t i = 0; i < set.globs; i++)
        if (fnmatch(set.glob[i], module, 0) == 0 ||
            (function &&
             (fnmatch(set.glob[i], name, 0) == 0 || fnmatch(set.glob[i], function, 0) == 0)))
            return true;
    return false;
}

bool wrappers_has(const char *module, const char *function)
{
    char name[NAME_BYTES] = "";
    struct wrapper wanted = {file_name(module), name};

    if (function)
        function_name_copy(function, name, sizeof name);
    if (set.globs && fits_glob(wanted.module, function, name))
        return true;
    return function && set.rows && tfind(&wanted, &set.tree, wrapper_compare);
}

bool wrappers_get(size_t number, const char **ret_module, const char **ret_function)
{
    if (number >= set.rows)
        return false;
    *ret_module = set.row[number]->module;
    *ret_function = set.row[number]->function;
    return true;
}

unsigned wrappers_version(void)
{
    return set.version;
}

static void nothing(void *row)
{
    (void)row;
}

void wrappers_done(void)
{
    tdestroy(set.tree, nothing);
    for (size_t i = 0; i < set.rows; i++)
        free(set.row[i]);
    free(set.row);
    free(set.glob);
    texts_done(&set.texts);
    set.row = NULL;
    set.glob = NULL;
    set.tree = NULL;
    set.rows = set.globs = 0;
    set.version++;
}
