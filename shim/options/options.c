/* SPDX-License-Identifier: MIT */
/*
 * The table of options: how one value is parsed, checked, stored and printed.
 *
 * Every row of options.def becomes a struct option_row and the offset of its member. A value is
 * first parsed into a temporary, so a refused value changes nothing. The sources of values are in
 * options_source.c.
 *
 * Threading: the table is constant; nothing else is shared.
 */
#include "shim/options/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/pages.h"
#include "cupti/base/safe_text.h"

static const struct option_row rows[OPTION_COUNT] = {
#define OPTION(name, kind, default_text, accepted_text, unit_text, help_text)                      \
    [OPTION_ID_##name] = {.key = #name,                                                            \
                          .built_in = default_text,                                                \
                          .accepted = accepted_text,                                               \
                          .unit = unit_text,                                                       \
                          .help = help_text,                                                       \
                          .type = OPTION_TYPE_##kind},
#include "shim/options/options.def"
#undef OPTION
};

static const size_t member_offset[OPTION_COUNT] = {
#define OPTION(name, ...) [OPTION_ID_##name] = offsetof(struct options, name),
#include "shim/options/options.def"
#undef OPTION
};

static void *member(struct options *options, size_t option)
{
    return (char *)options + member_offset[option];
}

static const void *member_const(const struct options *options, size_t option)
{
    return (const char *)options + member_offset[option];
}

/** Returns the position of `value` among names separated by |, or -EINVAL. */
static int choice_index(const char *names, const char *value)
{
    size_t length = strlen(value);
    int index = 0;

    for (const char *name = names; name; index++) {
        const char *end = strchrnul(name, '|');

        if ((size_t)(end - name) == length && !strncmp(name, value, length))
            return index;
        name = *end ? end + 1 : NULL;
    }
    return -EINVAL;
}

/** Name at a position among names separated by |. */
static void choice_name(const char *names, int index, char *ret_text, size_t ret_text_bytes)
{
    while (index-- > 0)
        names = strchrnul(names, '|') + 1;
    snprintf(ret_text, ret_text_bytes, "%.*s", (int)(strchrnul(names, '|') - names), names);
}

/** A whole decimal number within "min..max". */
static int number_parse(const char *range, const char *value, uint64_t *ret_number)
{
    char *end;
    unsigned long long least = strtoull(range, &end, 10), most = strtoull(end + 2, NULL, 10);
    unsigned long long number;

    if (!isdigit((unsigned char)*value))
        return -EINVAL;
    errno = 0;
    number = strtoull(value, &end, 10);
    if (errno || *end || number < least || number > most)
        return -EINVAL;
    *ret_number = number;
    return 0;
}

static int store_choice(const struct option_row *row, const char *value, int *ret_choice)
{
    int index = choice_index(row->accepted, value);

    if (index < 0)
        return index;
    *ret_choice = index;
    return 0;
}

static int store_flag(const char *value, bool *ret_flag)
{
    if ((value[0] != '0' && value[0] != '1') || value[1])
        return -EINVAL;
    *ret_flag = value[0] == '1';
    return 0;
}

static int store_text(const char *value, char *ret_text)
{
    size_t bytes = strlen(value) + 1;

    if (bytes > OPTIONS_TEXT_BYTES)
        return -EINVAL;
    memcpy(ret_text, value, bytes);
    return 0;
}

static int store_classes(const char *value, struct option_classes *ret_classes)
{
    struct option_classes classes = {0};
    const char *next = value;
    char *end;

    if (!strcmp(value, "auto")) {
        *ret_classes = classes;
        return 0;
    }
    do {
        unsigned long bytes = isdigit((unsigned char)*next) ? strtoul(next, &end, 10) : 0;

        if (classes.count == OPTION_CLASSES_MAX || bytes < 512 || bytes > 32768 || bytes % 256 ||
            (classes.count && bytes <= classes.bytes[classes.count - 1]))
            return -EINVAL;
        classes.bytes[classes.count++] = (uint16_t)bytes;
        next = end + 1;
    } while (*end == ':' || *end == ',');
    if (*end ||
        (classes.count == OPTION_CLASSES_MAX && classes.bytes[OPTION_CLASSES_MAX - 1] != 32768))
        return -EINVAL;
    *ret_classes = classes;
    return 0;
}

static int value_store(struct options *options, size_t option, const char *value)
{
    const struct option_row *row = &rows[option];
    void *to = member(options, option);

    switch (row->type) {
    case OPTION_TYPE_CHOICE: return store_choice(row, value, to);
    case OPTION_TYPE_SIZE: return option_size_parse_within(value, row->accepted, to);
    case OPTION_TYPE_NUMBER: return number_parse(row->accepted, value, to);
    case OPTION_TYPE_FLAG: return store_flag(value, to);
    case OPTION_TYPE_TEXT: return store_text(value, to);
    case OPTION_TYPE_CLASSES: return store_classes(value, to);
    case OPTION_TYPE_DURATION: return option_duration_parse(value, to);
    }
    return -EINVAL;
}

static int key_find(const char *key)
{
    for (int option = 0; option < OPTION_COUNT; option++)
        if (!strcmp(rows[option].key, key))
            return option;
    return -ENOENT;
}

static void complain_unknown(const char *key, const char *where, options_complain *complain,
                             void *state)
{
    char *line = pages_map(OPTIONS_LINE_BYTES);
    int used = !line ? 0
                     : snprintf(line, OPTIONS_LINE_BYTES,
                                "%s: unknown option '%.*s'; known options:", where,
                                (int)safe_text_cut(key, 100), key);

    for (size_t i = 0; i < OPTION_COUNT && used > 0 && used < OPTIONS_LINE_BYTES; i++)
        used += snprintf(line + used, OPTIONS_LINE_BYTES - (size_t)used, "%s%s", i ? ", " : " ",
                         rows[i].key);
    if (used > 0)
        complain(state, line);
    pages_unmap(line, OPTIONS_LINE_BYTES);
}

static void complain_value(const struct option_row *row, const char *value, const char *where,
                           options_complain *complain, void *state)
{
    char *line = pages_map(OPTIONS_LINE_BYTES);
    const char *longest = row->type == OPTION_TYPE_TEXT ? ", up to 1023 characters" : "";

    if (!line)
        return;
    snprintf(line, OPTIONS_LINE_BYTES, "%s: option %s does not accept '%.*s'; accepted: %s%s",
             where, row->key, (int)safe_text_cut(value, 200), value, row->accepted, longest);
    complain(state, line);
    pages_unmap(line, OPTIONS_LINE_BYTES);
}

int options_set(struct options *options, const char *key, const char *value,
                enum option_source source, const char *where, options_complain *complain,
                void *state)
{
    int option = key_find(key);

    if (option < 0) {
        if (complain)
            complain_unknown(key, where, complain, state);
        return option;
    }
    if (value_store(options, (size_t)option, value) < 0) {
        if (complain)
            complain_value(&rows[option], value, where, complain, state);
        return -EINVAL;
    }
    options->source[option] = (uint8_t)source;
    return 0;
}

void options_init(struct options *ret_options)
{
    memset(ret_options, 0, sizeof *ret_options);
    for (size_t option = 0; option < OPTION_COUNT; option++)
        value_store(ret_options, option, rows[option].built_in);
}

const struct option_row *options_row(size_t option)
{
    return option < OPTION_COUNT ? &rows[option] : NULL;
}

static void size_format(const struct option_size *size, char *ret_text, size_t ret_text_bytes)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    uint64_t bytes = size->bytes;
    size_t unit = 0;

    if (size->device_ppm) {
        uint32_t whole = size->device_ppm / 10000, fraction = size->device_ppm % 10000;
        int digits = 4;

        for (; fraction && fraction % 10 == 0; digits--)
            fraction /= 10;
        if (fraction)
            snprintf(ret_text, ret_text_bytes, "%u.%0*u%%", whole, digits, fraction);
        else
            snprintf(ret_text, ret_text_bytes, "%u%%", whole);
        return;
    }
    for (; bytes && bytes % 1024 == 0 && unit + 1 < sizeof units / sizeof *units; unit++)
        bytes /= 1024;
    snprintf(ret_text, ret_text_bytes, "%llu%s", (unsigned long long)bytes, units[unit]);
}

static void classes_format(const struct option_classes *classes, char *ret_text,
                           size_t ret_text_bytes)
{
    size_t used = (size_t)snprintf(ret_text, ret_text_bytes, "%s", classes->count ? "" : "auto");

    for (unsigned i = 0; i < classes->count && used < ret_text_bytes; i++)
        used += (size_t)snprintf(ret_text + used, ret_text_bytes - used, "%s%u", i ? ":" : "",
                                 (unsigned)classes->bytes[i]);
}

void options_format(const struct options *options, size_t option, char *ret_text,
                    size_t ret_text_bytes)
{
    const struct option_row *row = &rows[option];
    const void *from = member_const(options, option);

    switch (row->type) {
    case OPTION_TYPE_CHOICE:
        choice_name(row->accepted, *(const int *)from, ret_text, ret_text_bytes);
        break;
    case OPTION_TYPE_SIZE: size_format(from, ret_text, ret_text_bytes); break;
    case OPTION_TYPE_NUMBER:
        snprintf(ret_text, ret_text_bytes, "%llu", (unsigned long long)*(const uint64_t *)from);
        break;
    case OPTION_TYPE_FLAG: snprintf(ret_text, ret_text_bytes, "%d", *(const bool *)from); break;
    case OPTION_TYPE_TEXT: snprintf(ret_text, ret_text_bytes, "%s", (const char *)from); break;
    case OPTION_TYPE_CLASSES: classes_format(from, ret_text, ret_text_bytes); break;
    case OPTION_TYPE_DURATION:
        option_duration_format(*(const uint64_t *)from, ret_text, ret_text_bytes);
        break;
    }
}

void options_variable(size_t option, char *ret_text, size_t ret_text_bytes)
{
    snprintf(ret_text, ret_text_bytes, "CUPOOL_%s", rows[option].key);
    for (char *c = ret_text; *c; c++)
        *c = (char)toupper((unsigned char)*c);
}

void options_format_source(const struct options *options, size_t option, char *ret_text,
                           size_t ret_text_bytes)
{
    switch ((enum option_source)options->source[option]) {
    case OPTION_SOURCE_BUILT_IN: snprintf(ret_text, ret_text_bytes, "built-in"); break;
    case OPTION_SOURCE_FILE: snprintf(ret_text, ret_text_bytes, "CUPOOL_CONF"); break;
    case OPTION_SOURCE_LIST: snprintf(ret_text, ret_text_bytes, "CUPOOL"); break;
    case OPTION_SOURCE_ENVIRONMENT: options_variable(option, ret_text, ret_text_bytes); break;
    case OPTION_SOURCE_COMMAND: snprintf(ret_text, ret_text_bytes, "command line"); break;
    }
}
