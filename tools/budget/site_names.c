/* SPDX-License-Identifier: MIT */
/*
 * All names are looked up at creation; sites with the same name are joined under the first.
 */
#include "tools/budget/site_names.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/symbols/frames.h"
#include "tools/symbols/function_name.h"
#include "tools/base/texts.h"

struct entry {
    const char *module, *function;               /* texts, kept once each */
    const char *caller_module, *caller_function; /* of the innermost frame */
    const char *printed;                         /* the location, as reports have it */
    struct site_line line;
    uint64_t first; /* site all sites of this name are counted under */
    bool ignored;
};

struct site_names {
    struct entry *entry; /* of site i + 1 */
    size_t entries;
    struct texts texts;
};

static const struct site_name unknown = {"unknown", "unknown"};

/** NULL: out of memory. */
static const char *function_name(struct texts *texts, const struct frame *frame)
{
    char name[4096];

    frame_function_key(frame, name, sizeof name);
    return texts_keep(texts, name);
}

static const char *module_name(const struct trace_site *site)
{
    /* An address outside any module is valid for this run only. */
    return site->module ? frame_file_name(site->module) : unknown.module;
}

static int entry_init(struct entry *entry, struct texts *texts, const struct trace_reader *reader,
                      uint64_t site)
{
    struct frame location = {0}, caller = {0};
    char printed[512] = "unknown";

    frames_get_own(reader, site, &caller, 1);
    if (!frames_location(reader, site, &location))
        location = caller;
    if (location.site.module)
        frame_text(&location, printed, sizeof printed);
    entry->module = texts_keep(texts, module_name(&location.site));
    entry->function = function_name(texts, &location);
    entry->caller_module = texts_keep(texts, module_name(&caller.site));
    entry->caller_function = function_name(texts, &caller);
    entry->printed = texts_keep(texts, printed);
    entry->line = (struct site_line){location.file, location.line};
    return entry->module && entry->function && entry->caller_module && entry->caller_function &&
                   entry->printed
               ? 0
               : -ENOMEM;
}

static bool entry_fits(const struct entry *entry, const char *glob)
{
    const struct site_name name = {entry->module, entry->function};
    const struct site_name caller = {entry->caller_module, entry->caller_function};

    return site_name_fits(&name, glob) || site_name_fits(&caller, glob) ||
           fnmatch(glob, entry->printed, 0) == 0 ||
           (entry->line.file && fnmatch(glob, frame_file_name(entry->line.file), 0) == 0);
}

/** Equal texts have one address. */
static int text_compare(const char *left, const char *right)
{
    return left == right ? 0 : strcmp(left, right);
}

static int entry_compare(const void *a, const void *b)
{
    const struct entry *left = *(const struct entry *const *)a;
    const struct entry *right = *(const struct entry *const *)b;
    int order = text_compare(left->module, right->module);

    order = order ? order : text_compare(left->function, right->function);
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
        bool same = i && sorted[i]->module == sorted[i - 1]->module &&
                    sorted[i]->function == sorted[i - 1]->function;

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
    char qualified[512];
    bool fits = fnmatch(glob, name->module, 0) == 0 || fnmatch(glob, name->function, 0) == 0 ||
                (function && fnmatch(glob, function, 0) == 0);

    function_name_copy(name->function, qualified, sizeof qualified);
    fits = fits || fnmatch(glob, qualified, 0) == 0;

    free(function);
    return fits;
}

int site_names_create(const struct trace_reader *reader, const char *const *ignored,
                      size_t ignored_count, struct site_names **ret_names)
{
    struct site_names *names = calloc(1, sizeof *names);
    size_t sites = trace_reader_summary(reader)->sites;
    int error = -ENOMEM;

    if (names)
        names->entry = calloc(sites + 1, sizeof *names->entry);
    if (!names || !names->entry)
        goto destroy;
    for (; names->entries < sites; names->entries++) {
        struct entry *entry = &names->entry[names->entries];

        error = entry_init(entry, &names->texts, reader, names->entries + 1);
        if (error < 0)
            goto destroy;
        for (size_t i = 0; i < ignored_count && !entry->ignored; i++)
            entry->ignored = entry_fits(entry, ignored[i]);
    }
    error = entries_join(names);
    if (error < 0)
        goto destroy;
    *ret_names = names;
    return 0;
destroy:
    site_names_destroy(names);
    return error;
}

void site_names_destroy(struct site_names *names)
{
    if (!names)
        return;
    free(names->entry);
    texts_done(&names->texts);
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

struct site_line site_names_line(const struct site_names *names, uint64_t site)
{
    const struct entry *entry = entry_of(names, site);

    return entry ? entry->line : (struct site_line){0};
}

uint64_t site_names_first(const struct site_names *names, uint64_t site)
{
    const struct entry *entry = entry_of(names, site);

    return entry ? entry->first : 0;
}

static bool choice_map(void *context, uint64_t site, uint64_t *ret_site)
{
    struct site_choice *choice = context;
    const struct entry *entry = entry_of(choice->names, site);
    bool fits = !choice->glob ||
                (entry ? entry_fits(entry, choice->glob) : site_name_fits(&unknown, choice->glob));

    if ((entry && entry->ignored) || !fits)
        return false;
    choice->fitted = true;
    *ret_site = entry ? entry->first : 0;
    return true;
}

struct analysis_lens site_choice_lens(struct site_choice *choice)
{
    return (struct analysis_lens){.map = choice_map, .context = choice};
}
