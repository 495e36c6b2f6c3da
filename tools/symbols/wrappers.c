/* SPDX-License-Identifier: MIT */
#include "tools/symbols/wrappers.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/grow.h"
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
    struct texts compared; /* with the globs, each once */
    bool *fits;            /* of these texts */
    size_t fits_room;
    struct glob_work *work; /* NULL: without a limit */
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
    texts_done(&set.compared);
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

void wrappers_bound(struct glob_work *work)
{
    set.work = work;
}

static bool text_compare(const char *text)
{
    for (size_t i = 0; i < set.globs; i++)
        if (glob_fits(set.glob[i], text, set.work))
            return true;
    return false;
}

/** Whether a text fits a glob: compared once, or again if there is no memory to keep it. */
static bool text_fits(const char *text)
{
    uint32_t rows = set.compared.rows, number = texts_number(&set.compared, text);

    if (number && number <= rows)
        return set.fits[number - 1];
    if (number && ARRAY_GROW(set.fits, rows, set.fits_room, 64) < 0) {
        texts_done(&set.compared);
        number = 0;
    }
    if (!number)
        return text_compare(text);
    return set.fits[number - 1] = text_compare(text);
}

static bool fits_glob(const char *module, const char *function, const char *name)
{
    return text_fits(module) || (function && (text_fits(name) || text_fits(function)));
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
    free(set.fits);
    texts_done(&set.texts);
    texts_done(&set.compared);
    set.fits = NULL;
    set.fits_room = 0;
    set.work = NULL;
    set.row = NULL;
    set.glob = NULL;
    set.tree = NULL;
    set.rows = set.globs = 0;
    set.version++;
}
