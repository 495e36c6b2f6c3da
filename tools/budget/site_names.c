/* SPDX-License-Identifier: MIT */
/*
 * All names are looked up at creation; sites with the same name are joined under the first.
 */
#include "tools/budget/site_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/symbols/frames.h"
#include "tools/symbols/function_name.h"
#include "tools/base/grow.h"

#define SITE_TEXTS 10

struct entry {
    const char *module, *function;               /* texts, kept once each */
    const char *caller_module, *caller_function; /* of the innermost frame */
    const char *printed;                         /* the location, as reports have it */
    struct site_line line;
    uint32_t text[SITE_TEXTS]; /* what a glob is compared with, by number; 0: no more */
    uint64_t first;            /* site all sites of this name are counted under */
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
    entry->line = (struct site_line){location.file, location.symbol->directory, location.line};
    return entry->module && entry->function && entry->caller_module && entry->caller_function &&
                   entry->printed
               ? 0
               : -ENOMEM;
}

/** Adds a text that globs of the site are compared with. Errors: -ENOMEM. */
static int text_add(struct entry *entry, struct texts *texts, const char *text)
{
    uint32_t number = texts_number(texts, text);

    for (size_t i = 0; number && i < SITE_TEXTS; i++) {
        if (!entry->text[i])
            entry->text[i] = number;
        if (entry->text[i] == number)
            return 0;
    }
    return -ENOMEM;
}

/** A function as it is, without its parameters, and as its qualified name. */
static int function_add(struct entry *entry, struct texts *texts, const char *function)
{
    char text[4096], qualified[512];
    int error = text_add(entry, texts, function);

    snprintf(text, sizeof text, "%.*s", (int)site_function_length(function), function);
    function_name_copy(function, qualified, sizeof qualified);
    if (error == 0)
        error = text_add(entry, texts, text);
    return error < 0 ? error : text_add(entry, texts, qualified);
}

static int entry_texts(struct entry *entry, struct texts *texts)
{
    int error = text_add(entry, texts, entry->module);

    if (error == 0)
        error = function_add(entry, texts, entry->function);
    if (error == 0)
        error = text_add(entry, texts, entry->caller_module);
    if (error == 0)
        error = function_add(entry, texts, entry->caller_function);
    if (error == 0)
        error = text_add(entry, texts, entry->printed);
    if (error == 0 && entry->line.file)
        error = text_add(entry, texts, frame_file_name(entry->line.file));
    return error;
}

/** Compares a glob with each distinct text once, when it is first asked for. */
struct comparison {
    const struct texts *texts;
    const char *glob;
    struct glob_work *work;
    uint32_t number; /* of the glob, from 1 */
    uint32_t *found; /* for each text the last glob that was compared: twice its number, and 1 if
                        it fits */
};

static bool text_fits(struct comparison *comparison, uint32_t number)
{
    uint32_t *found = &comparison->found[number - 1];

    if (*found >> 1 != comparison->number)
        *found = comparison->number << 1 |
                 glob_fits(comparison->glob, comparison->texts->row[number - 1].text,
                           comparison->work);
    return *found & 1;
}

static bool entry_fits(struct comparison *comparison, const struct entry *entry)
{
    bool fits = false;

    for (size_t i = 0; i < SITE_TEXTS && entry->text[i] && !fits; i++)
        fits = text_fits(comparison, entry->text[i]);
    return fits && glob_work_take(comparison->work, 1);
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

bool site_name_fits(const struct site_name *name, const char *glob, struct glob_work *work)
{
    char *function = strndup(name->function, site_function_length(name->function));
    char qualified[512];
    bool fits = glob_fits(glob, name->module, work) || glob_fits(glob, name->function, work) ||
                (function && glob_fits(glob, function, work));

    function_name_copy(name->function, qualified, sizeof qualified);
    fits = fits || glob_fits(glob, qualified, work);

    free(function);
    return fits;
}

/** Marks the sites that count nowhere. */
static int entries_ignore(struct site_names *names, const char *const *ignored, size_t count,
                          struct glob_work *work)
{
    struct comparison comparison = {.texts = &names->texts, .work = work};

    if (!count)
        return 0;
    comparison.found = calloc(names->texts.rows + 1, sizeof *comparison.found);
    if (!comparison.found)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        comparison.glob = ignored[i];
        comparison.number = (uint32_t)i + 1;
        for (size_t k = 0; k < names->entries && glob_work_take(work, 1); k++)
            if (!names->entry[k].ignored)
                names->entry[k].ignored = entry_fits(&comparison, &names->entry[k]);
    }
    free(comparison.found);
    return 0;
}

int site_names_create(const struct trace_reader *reader, const char *const *ignored,
                      size_t ignored_count, struct glob_work *work, struct site_names **ret_names)
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
        if (error == 0)
            error = entry_texts(entry, &names->texts);
        if (error < 0)
            goto destroy;
    }
    error = entries_ignore(names, ignored, ignored_count, work);
    if (error == 0)
        error = entries_join(names);
    if (error < 0)
        goto destroy;
    *ret_names = names;
    return 0;
destroy:
    site_names_destroy(names);
    return error;
}

static int member_add(struct site_sets *sets, size_t stack, uint32_t set)
{
    if (sets->members >= SITE_SETS_FIRST + SITE_SETS_EACH * sets->stacks)
        return -E2BIG;
    if (ARRAY_GROW(sets->member, sets->members, sets->members_room, 64) < 0)
        return -ENOMEM;
    sets->member[sets->members] = (struct site_sets_member){set, sets->first[stack]};
    sets->first[stack] = (uint32_t)++sets->members;
    return 0;
}

static int set_fill(const struct site_names *names, struct comparison *comparison,
                    struct site_sets *sets)
{
    uint32_t set = comparison->number - 1;
    int error = site_name_fits(&unknown, comparison->glob, comparison->work)
                    ? member_add(sets, 0, set)
                    : 0;

    for (size_t i = 0; i < names->entries && error == 0 && glob_work_take(comparison->work, 1); i++)
        if (!names->entry[i].ignored && entry_fits(comparison, &names->entry[i]))
            error = member_add(sets, i + 1, set);
    return error;
}

int site_names_sets(const struct site_names *names, const struct texts *globs,
                    struct glob_work *work, struct site_sets *ret_sets)
{
    struct comparison comparison = {.texts = &names->texts, .work = work};
    struct site_sets sets = {.stacks = names->entries + 1, .sets = globs->rows};
    int error = 0;

    comparison.found = calloc(names->texts.rows + 1, sizeof *comparison.found);
    sets.first = calloc(sets.stacks, sizeof *sets.first);
    sets.set = calloc(sets.sets + 1, sizeof *sets.set);
    if (!comparison.found || !sets.first || !sets.set)
        error = -ENOMEM;
    for (size_t i = 0; i < sets.sets && error == 0; i++) {
        comparison.glob = globs->row[i].text;
        comparison.number = (uint32_t)i + 1;
        error = set_fill(names, &comparison, &sets);
    }
    free(comparison.found);
    if (error < 0)
        site_names_sets_done(&sets);
    else
        *ret_sets = sets;
    return error;
}

void site_names_sets_done(struct site_sets *sets)
{
    free(sets->first);
    free(sets->member);
    free(sets->set);
    *sets = (struct site_sets){0};
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

    if (entry && entry->ignored)
        return false;
    if (choice->seen)
        choice->seen[entry ? site : 0] = true;
    *ret_site = entry ? entry->first : 0;
    return true;
}

struct analysis_lens site_choice_lens(struct site_choice *choice)
{
    return (struct analysis_lens){.map = choice_map, .context = choice};
}
