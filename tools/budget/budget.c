/* SPDX-License-Identifier: MIT */
/*
 * inih parses lines, but does not pass line numbers, sections without keys, or section names above
 * 49 characters to its handler. So the lines come from a reader of our own, which counts them and
 * extracts the section's name.
 */
#include "tools/budget/budget.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/file/infile.h"

enum section {
    SECTION_NONE,
    SECTION_BUDGET,
    SECTION_SITE,
    SECTION_PHASE,
    SECTION_IGNORE,
    SECTION_WRAPPERS
};

/** Keys of a [site] section and the figures they limit. */
static const struct {
    const char *key;
    enum metric metric;
} site_keys[] = {{"peak", METRIC_peak_live}, {"leaked", METRIC_leaked_at_exit}};

/** Keys of a [phase] section; the metric only lends its unit. */
static const struct {
    const char *key;
    enum metric unit_of;
} phase_keys[PHASE_METRIC_COUNT] = {
#define UNIT_OF_BYTES                          METRIC_peak_live
#define UNIT_OF_COUNT                          METRIC_allocations
#define PHASE_METRIC(key, unit, report, value) {#key, UNIT_OF_##unit},
    PHASE_METRICS(PHASE_METRIC)
#undef PHASE_METRIC
};

#define BYTES_MOST ((size_t)1 << 20)
#define ROWS_MOST  4096 /* of a kind */
#define SITE_KEYS  (sizeof site_keys / sizeof *site_keys)

struct parse {
    const char *path;
    FILE *file;
    struct budget *budget;
    unsigned line;
    enum section section;
    char glob[256]; /* of [site GLOB] */
    int error;      /* 0, or the first: what follows is not looked at */
    char *why;
    size_t why_bytes;
};

__attribute__((format(printf, 2, 3))) static void parse_fail(struct parse *parse,
                                                             const char *format, ...)
{
    va_list arguments;
    int used;

    if (parse->error)
        return;
    parse->error = -EINVAL;
    used = snprintf(parse->why, parse->why_bytes, "%s:%u: ", parse->path, parse->line);
    va_start(arguments, format);
    if (used >= 0 && (size_t)used < parse->why_bytes)
        vsnprintf(parse->why + used, parse->why_bytes - (size_t)used, format, arguments);
    va_end(arguments);
}

/** Makes room for one more row. `what` names rows of this kind, of which the file gave `given`. */
static void *grown(struct parse *parse, void *array, size_t count, size_t row_bytes, size_t given,
                   const char *what)
{
    void *result;

    if (given == ROWS_MOST) {
        parse_fail(parse, "too many %s: at most %d", what, ROWS_MOST);
        return NULL;
    }
    result = realloc(array, (count + 1) * row_bytes);
    if (!result)
        parse_fail(parse, "out of memory");
    return result;
}

/** A section's line, "[site decode*]". */
static void section_begin(struct parse *parse, const char *text)
{
    size_t length = strcspn(text, "]");
    char name[sizeof parse->glob];

    if (text[length] != ']' || length >= sizeof name) {
        parse_fail(parse, text[length] ? "section name too long" : "missing ]");
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    parse->section = SECTION_NONE;
    if (!strcmp(name, "budget")) {
        parse->section = SECTION_BUDGET;
    } else if (!strcmp(name, "ignore")) {
        parse->section = SECTION_IGNORE;
    } else if (!strcmp(name, "wrappers")) {
        parse->section = SECTION_WRAPPERS;
    } else if (!strncmp(name, "site ", 5) && name[5 + strspn(name + 5, " ")]) {
        parse->section = SECTION_SITE;
        snprintf(parse->glob, sizeof parse->glob, "%s", name + 5 + strspn(name + 5, " "));
    } else if (!strncmp(name, "phase ", 6) && name[6 + strspn(name + 6, " ")]) {
        parse->section = SECTION_PHASE;
        snprintf(parse->glob, sizeof parse->glob, "%s", name + 6 + strspn(name + 6, " "));
    } else {
        parse_fail(parse,
                   "[%s]: unknown section: use [budget], [site GLOB], [phase GLOB], "
                   "[ignore] or [wrappers]",
                   name);
    }
}

/** inih's reader: one line of the file. */
static char *line_read(char *text, int bytes, void *context)
{
    struct parse *parse = context;
    const char *start;
    size_t length;
    int got;

    if (parse->error)
        return NULL;
    got = infile_line(parse->file, text, (size_t)bytes, &length);
    parse->line += got != 0;
    if (got == -EMSGSIZE)
        parse_fail(parse, "line too long: at most %d characters", bytes - 2);
    else if (got < 0)
        parse_fail(parse, "zero byte in this line: give a text file");
    if (got <= 0)
        return NULL;
    start = text + strspn(text, "\xef\xbb\xbf");
    start += strspn(start, " \t");
    if (*start == '[')
        section_begin(parse, start + 1);
    else if (*start && !strchr(";#\r\n", *start) && !strpbrk(start, "=:"))
        parse_fail(parse, "not of the form KEY = VALUE");
    return parse->error ? NULL : text;
}

static void keys_list(const char *growth_of_units, char *ret_text, size_t text_bytes)
{
    size_t used = 0;

    for (int i = 0; i < METRIC_COUNT && used < text_bytes; i++)
        used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s%s", i ? ", " : "",
                                 metric_rows[i].key);
    if (used < text_bytes)
        snprintf(ret_text + used, text_bytes - used, "%s", growth_of_units);
}

static bool item_exists(const struct parse *parse, const char *name)
{
    for (size_t i = 0; i < parse->budget->items; i++)
        if (!strcmp(parse->budget->item[i].name, name))
            return true;
    return false;
}

/** Adds an item, which owns nothing yet; copies `name` and `value`. */
static void item_add(struct parse *parse, struct budget_item item, const char *name,
                     const char *value)
{
    struct budget *budget = parse->budget;
    struct budget_item *array;
    uint32_t names = budget->names.rows, number = texts_number(&budget->names, name);

    if (number && number <= names) {
        parse_fail(parse, "%s: given twice", name);
        return;
    }
    array = grown(parse, budget->item, budget->items, sizeof *array,
                  item.is_default ? 0 : budget->items, "limits");
    if (!array)
        return;
    budget->item = array;
    item.name = number ? budget->names.row[number - 1].text : NULL;
    if (item.glob && !item.is_phase) {
        number = texts_number(&budget->sites, item.glob);
        item.set = number - 1;
        item.name = number ? item.name : NULL;
    }
    item.text = strdup(value);
    item.glob = item.glob ? strdup(item.glob) : NULL;
    array[budget->items++] = item;
    if (!item.name || !item.text)
        parse_fail(parse, "out of memory");
}

static void growth_add(struct parse *parse, const char *key, int metric, const char *value)
{
    struct budget_item item = {.metric = (enum metric)metric, .is_growth = true};
    const char *why;

    if (tolerance_parse(metric_rows[metric].unit, value, &item.tolerance, &why) < 0)
        parse_fail(parse, "%s = %s: %s: give %s", key, value, why, TOLERANCE_ACCEPTED);
    else
        item_add(parse, item, key, value);
}

/** `item` has everything but limit, name and text. */
static void limit_add(struct parse *parse, struct budget_item item, const char *key,
                      const char *name, const char *value)
{
    enum metric_unit unit = metric_rows[item.metric].unit;

    if (metric_parse(unit, value, &item.limit) < 0)
        parse_fail(parse, "%s = %s: not in range or not of this kind: give %s", key, value,
                   metric_accepted(unit));
    else
        item_add(parse, item, name, value);
}

static void budget_key(struct parse *parse, const char *key, const char *value)
{
    static const char growth[] = "_growth";
    size_t length = strlen(key), suffix = sizeof growth - 1;
    bool is_growth = length > suffix && !strcmp(key + length - suffix, growth);
    int metric = metric_find(key, is_growth ? length - suffix : length);
    char accepted[512];

    /* A percentage of a percentage confuses; and a figure that should not fall has no growth
     * limit. */
    if (metric >= 0 && is_growth && metric_rows[metric].unit == METRIC_UNIT_PERCENT)
        metric = -ENOENT;
    if (metric < 0) {
        keys_list("; sizes and counts also as KEY_growth", accepted, sizeof accepted);
        parse_fail(parse, "%s: unknown key: use one of %s", key, accepted);
    } else if (is_growth) {
        growth_add(parse, key, metric, value);
    } else {
        limit_add(parse, (struct budget_item){.metric = (enum metric)metric}, key, key, value);
    }
}

static void site_key(struct parse *parse, const char *key, const char *value)
{
    char name[sizeof parse->glob + 64];

    for (size_t i = 0; i < SITE_KEYS; i++) {
        if (strcmp(site_keys[i].key, key) != 0)
            continue;
        snprintf(name, sizeof name, "site %s: %s", parse->glob, key);
        limit_add(parse, (struct budget_item){.metric = site_keys[i].metric, .glob = parse->glob},
                  key, name, value);
        return;
    }
    parse_fail(parse, "%s: unknown key of a site: use peak or leaked", key);
}

static void phase_key(struct parse *parse, const char *key, const char *value)
{
    char name[sizeof parse->glob + 64], accepted[256];
    size_t used = 0;

    for (size_t i = 0; i < PHASE_METRIC_COUNT; i++) {
        if (used < sizeof accepted)
            used += (size_t)snprintf(accepted + used, sizeof accepted - used, "%s%s", i ? ", " : "",
                                     phase_keys[i].key);
        if (strcmp(phase_keys[i].key, key) != 0)
            continue;
        snprintf(name, sizeof name, "phase %s: %s", parse->glob, key);
        limit_add(parse,
                  (struct budget_item){.metric = phase_keys[i].unit_of,
                                       .glob = parse->glob,
                                       .is_phase = true,
                                       .phase_metric = (enum phase_metric)i},
                  key, name, value);
        return;
    }
    parse_fail(parse, "%s: unknown key of a phase: use one of %s", key, accepted);
}

/** Adds a glob to a list. */
static void glob_add(struct parse *parse, char ***list, size_t *count, const char *glob,
                     const char *what)
{
    char **array = grown(parse, *list, *count, sizeof *array, *count, what);

    if (!array)
        return;
    *list = array;
    array[*count] = strdup(glob);
    if (array[*count])
        ++*count;
    else
        parse_fail(parse, "out of memory");
}

static void ignore_key(struct parse *parse, const char *key, const char *value)
{
    if (strcmp(key, "site") != 0 || !*value)
        parse_fail(parse, "%s = %s: give site = GLOB", key, value);
    else
        glob_add(parse, &parse->budget->ignored, &parse->budget->ignored_count, value,
                 "sites to ignore");
}

static void wrappers_key(struct parse *parse, const char *key, const char *value)
{
    if (strcmp(key, "function") != 0 || !*value)
        parse_fail(parse, "%s = %s: give function = GLOB", key, value);
    else
        glob_add(parse, &parse->budget->wrapper, &parse->budget->wrappers, value, "wrappers");
}

/** Handler for inih; the section is ours, because inih truncates its name. */
static int key_read(void *context, const char *section, const char *key, const char *value)
{
    struct parse *parse = context;

    (void)section;
    switch (parse->section) {
    case SECTION_BUDGET: budget_key(parse, key, value); break;
    case SECTION_SITE: site_key(parse, key, value); break;
    case SECTION_PHASE: phase_key(parse, key, value); break;
    case SECTION_IGNORE: ignore_key(parse, key, value); break;
    case SECTION_WRAPPERS: wrappers_key(parse, key, value); break;
    case SECTION_NONE: parse_fail(parse, "%s: outside any section: begin with [budget]", key);
    }
    return 1;
}

/** A memory error is a fault of the program, whatever else the budget contains. */
static void default_add(struct parse *parse)
{
    const struct metric_row *row = &metric_rows[METRIC_memory_errors];

    if (!parse->error && !item_exists(parse, row->key))
        item_add(parse, (struct budget_item){.metric = METRIC_memory_errors, .is_default = true},
                 row->key, "0");
}

int budget_read(const char *path, struct budget **ret_budget, char *ret_why, size_t why_bytes)
{
    struct parse parse = {.path = path, .why = ret_why, .why_bytes = why_bytes};
    char *text = NULL;
    size_t bytes = 0;
    int error;

    error = infile_read(path, BYTES_MOST, &text, &bytes);
    if (error == 0 && bytes == 0)
        text[bytes++] = '\n'; /* a stream of no bytes cannot be opened */
    parse.file = error == 0 ? fmemopen(text, bytes, "r") : NULL;
    if (!parse.file) {
        error = error == 0 ? -ENOMEM : error;
        snprintf(ret_why, why_bytes, "%s: %s", path, infile_reason(error));
        free(text);
        return error;
    }
    parse.budget = calloc(1, sizeof *parse.budget);
    if (!parse.budget) {
        parse_fail(&parse, "out of memory");
    } else {
        error = ini_parse_stream(line_read, &parse, key_read, &parse);
        if (error != 0)
            parse_fail(&parse, "not of the form KEY = VALUE");
        if (ferror(parse.file))
            parse_fail(&parse, "cannot be read");
        if (!parse.budget->items)
            parse_fail(&parse, "no budget in this file: begin with [budget] and peak_live = SIZE");
    }
    default_add(&parse);
    fclose(parse.file);
    free(text);
    if (parse.error) {
        budget_destroy(parse.budget);
        return parse.error;
    }
    *ret_budget = parse.budget;
    return 0;
}

void budget_destroy(struct budget *budget)
{
    if (!budget)
        return;
    for (size_t i = 0; i < budget->items; i++) {
        free(budget->item[i].text);
        free(budget->item[i].glob);
    }
    for (size_t i = 0; i < budget->ignored_count; i++)
        free(budget->ignored[i]);
    for (size_t i = 0; i < budget->wrappers; i++)
        free(budget->wrapper[i]);
    texts_done(&budget->names);
    texts_done(&budget->sites);
    free(budget->wrapper);
    free(budget->item);
    free(budget->ignored);
    free(budget);
}

bool budget_has_growth(const struct budget *budget)
{
    for (size_t i = 0; i < budget->items; i++)
        if (budget->item[i].is_growth)
            return true;
    return false;
}
