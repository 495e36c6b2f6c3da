/* SPDX-License-Identifier: MIT */
/*
 * See site_names.h. All names are looked up at creation; sites with one name are joined under the
 * first of them.
 */
#include "tools/site_names.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/symbols.h"

struct entry {
    char *module, *function;
    uint64_t first; /* site all sites of this name are counted under */
    bool ignored;
};

struct site_names {
    struct entry *entry; /* of site i + 1 */
    size_t entries;
};

static const struct site_name unknown = {"unknown", "unknown"};

/** Cuts what the compiler adds to the name of a copy it made: [clone .isra.0], .constprop.0. */
static void suffix_cut(char *function)
{
    static const char *const suffixes[] = {
        " [clone ", ".constprop.", ".isra.", ".part.", ".cold", ".lto_priv.",
    };

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *found = strstr(function, suffixes[i]);

        if (found && found != function)
            *found = '\0';
    }
}

static char *function_name(const struct trace_site *site)
{
    char text[512], *offset;

    if (symbols_find(site, text, sizeof text) < 0) {
        snprintf(text, sizeof text, "+%#llx", (unsigned long long)site->offset);
        return strdup(text);
    }
    offset = strrchr(text, '+');
    if (offset)
        *offset = '\0';
    suffix_cut(text);
    return strdup(text);
}

static int entry_init(struct entry *entry, const struct trace_site *site)
{
    const char *slash = site->module ? strrchr(site->module, '/') : NULL;

    /* Outside of any module an address is one of this run only. */
    entry->module = strdup(!site->module ? unknown.module : slash ? slash + 1 : site->module);
    entry->function = site->module ? function_name(site) : strdup(unknown.function);
    return entry->module && entry->function ? 0 : -ENOMEM;
}

static int entry_compare(const void *a, const void *b)
{
    const struct entry *left = *(const struct entry *const *)a;
    const struct entry *right = *(const struct entry *const *)b;
    int order = strcmp(left->module, right->module);

    order = order ? order : strcmp(left->function, right->function);
    return order ? order : (left > right) - (left < right);
}

/** Finds the first site of each name. */
static int entries_join(struct site_names *names)
{
    struct entry **sorted = calloc(names->entries + 1, sizeof *sorted);

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < names->entries; i++)
        sorted[i] = &names->entry[i];
    qsort(sorted, names->entries, sizeof(struct entry *), entry_compare);
    for (size_t i = 0; i < names->entries; i++) {
        bool same = i && !strcmp(sorted[i]->module, sorted[i - 1]->module) &&
                    !strcmp(sorted[i]->function, sorted[i - 1]->function);

        sorted[i]->first = same ? sorted[i - 1]->first : (uint64_t)(sorted[i] - names->entry) + 1;
    }
    free(sorted);
    return 0;
}

size_t site_function_length(const char *function)
{
    static const char of_method[] = " const";
    size_t length = strlen(function), suffix = sizeof of_method - 1, depth = 0;

    if (length > suffix && !strcmp(function + length - suffix, of_method))
        length -= suffix;
    if (!length || function[length - 1] != ')')
        return strlen(function);
    while (length) {
        char sign = function[--length];

        depth += sign == ')';
        depth -= sign == '(';
        if (!depth)
            break;
    }
    return length ? length : strlen(function);
}

bool site_name_fits(const struct site_name *name, const char *glob)
{
    char *function = strndup(name->function, site_function_length(name->function));
    bool fits = fnmatch(glob, name->module, 0) == 0 || fnmatch(glob, name->function, 0) == 0 ||
                (function && fnmatch(glob, function, 0) == 0);

    free(function);
    return fits;
}

int site_names_create(const struct trace_reader *reader, const char *const *ignored,
                      size_t ignored_count, struct site_names **ret_names)
{
    struct site_names *names = calloc(1, sizeof *names);
    struct trace_site site;
    size_t sites = 0;
    int r = -ENOMEM;

    while (trace_reader_site(reader, sites + 1, &site) == 0)
        sites++;
    if (names)
        names->entry = calloc(sites + 1, sizeof *names->entry);
    if (!names || !names->entry)
        goto destroy;
    for (; names->entries < sites; names->entries++) {
        struct entry *entry = &names->entry[names->entries];
        struct site_name name;

        trace_reader_site(reader, names->entries + 1, &site);
        r = entry_init(entry, &site);
        if (r < 0) {
            free(entry->module);
            free(entry->function);
            goto destroy;
        }
        name = (struct site_name){entry->module, entry->function};
        for (size_t i = 0; i < ignored_count && !entry->ignored; i++)
            entry->ignored = site_name_fits(&name, ignored[i]);
    }
    r = entries_join(names);
    if (r < 0)
        goto destroy;
    *ret_names = names;
    return 0;
destroy:
    site_names_destroy(names);
    return r;
}

void site_names_destroy(struct site_names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < names->entries; i++) {
        free(names->entry[i].module);
        free(names->entry[i].function);
    }
    free(names->entry);
    free(names);
}

static const struct entry *entry_of(const struct site_names *names, uint64_t site)
{
    return site && site <= names->entries ? &names->entry[site - 1] : NULL;
}

struct site_name site_names_get(const struct site_names *names, uint64_t site)
{
    const struct entry *entry = entry_of(names, site);

    return entry ? (struct site_name){entry->module, entry->function} : unknown;
}

static bool choice_map(void *context, uint64_t site, uint64_t *ret_site)
{
    struct site_choice *choice = context;
    const struct entry *entry = entry_of(choice->names, site);
    struct site_name name = site_names_get(choice->names, site);

    if ((entry && entry->ignored) || (choice->glob && !site_name_fits(&name, choice->glob)))
        return false;
    choice->fitted = true;
    *ret_site = entry ? entry->first : 0;
    return true;
}

struct analysis_lens site_choice_lens(struct site_choice *choice)
{
    return (struct analysis_lens){.map = choice_map, .context = choice};
}
