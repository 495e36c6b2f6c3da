/* SPDX-License-Identifier: MIT */
/*
 * Command-line options of the workloads, as one table per program.
 *
 * A row has the target of its value, the accepted values and the text of --help; defaults are
 * the values that the targets hold before parsing. Both "--name value" and "--name=value" are read.
 * A bad option is one line on stderr and exit status 2. C and C++; one thread, before any other
 * exists.
 */
#ifndef WORKLOADS_OPTIONS_H
#define WORKLOADS_OPTIONS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_kind {
    OPTION_COUNT, /* long long, a whole number */
    OPTION_BYTES, /* long long, a size such as 512, 64KiB or 1.5GiB */
    OPTION_REAL,  /* double */
    OPTION_TEXT,  /* const char *, borrowed from argv */
    OPTION_FLAG   /* long long, 1 when it is named; takes no value */
};

/** One option. Numbers outside [least, most] are refused. */
struct option_row {
    const char *name;
    enum option_kind kind;
    void *target;
    double least, most;
    const char *help;
};

/** A program's options; the summary is one sentence for --help. */
struct option_table {
    const char *program, *summary;
    const struct option_row *rows;
    size_t count;
};

static inline double option_unit_bytes(const char *suffix)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},          {"B", 1},       {"KiB", 1024},         {"K", 1024},
                 {"MiB", 1048576}, {"M", 1048576}, {"GiB", 1073741824.0}, {"G", 1073741824.0}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(units[i].name, suffix) == 0)
            return units[i].bytes;
    return 0;
}

static inline int option_store(const struct option_row *row, const char *text)
{
    if (row->kind == OPTION_FLAG) {
        *(long long *)row->target = 1;
        return 0;
    }
    if (row->kind == OPTION_TEXT) {
        memcpy(row->target, &text, sizeof(text));
        return 0;
    }
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    long long whole = strtoll(text, NULL, 10);
    double unit = row->kind == OPTION_BYTES ? option_unit_bytes(end) : *end == 0;
    int fractional = row->kind == OPTION_COUNT && value != (double)whole;
    if (end == text || errno != 0 || unit == 0 || fractional)
        return -EINVAL;
    value *= unit;
    if (!(value >= row->least && value <= row->most))
        return -ERANGE;
    if (row->kind == OPTION_REAL)
        *(double *)row->target = value;
    else
        *(long long *)row->target = row->kind == OPTION_BYTES ? (long long)value : whole;
    return 0;
}

static inline const char *option_kind_name(enum option_kind kind)
{
    static const char *const names[] = {"a whole number", "a size", "a number", "a text",
                                        "no value"};
    return names[kind];
}

static inline void option_help(const struct option_table *table)
{
    printf("usage: %s [options]\n%s\n\n", table->program, table->summary);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        printf("  --%-14s %s (", row->name, row->help);
        if (row->kind == OPTION_FLAG)
            printf("%s)\n", *(long long *)row->target ? "on" : "off");
        else if (row->kind == OPTION_REAL)
            printf("%g)\n", *(double *)row->target);
        else if (row->kind != OPTION_TEXT)
            printf("%lld)\n", *(long long *)row->target);
        else
            printf("%s)\n", *(const char **)row->target ? *(const char **)row->target : "none");
    }
    printf("  --%-14s this text\n", "help");
}

static inline void option_refuse(const struct option_table *table, const struct option_row *row,
                                 const char *text, int error)
{
    fprintf(stderr, "%s: --%s: '%s' is not %s", table->program, row->name, text,
            option_kind_name(row->kind));
    if (error == -ERANGE)
        fprintf(stderr, " from %.12g to %.12g", row->least, row->most);
    fprintf(stderr, " (see --help)\n");
    exit(2);
}

static inline const struct option_row *option_find(const struct option_table *table,
                                                   const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++)
        if (strlen(table->rows[i].name) == length &&
            strncmp(table->rows[i].name, name, length) == 0)
            return &table->rows[i];
    return NULL;
}

/** Reads the command line into the targets; leaves the program on --help (0) and on errors (2). */
static inline void option_parse(const struct option_table *table, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (strcmp(text, "--help") == 0) {
            option_help(table);
            exit(0);
        }
        const char *equals = strchr(text, '=');
        size_t length = equals ? (size_t)(equals - text) : strlen(text);
        const struct option_row *row = strncmp(text, "--", 2) == 0
                                           ? option_find(table, text + 2, length - 2)
                                           : NULL;
        int flag = row && row->kind == OPTION_FLAG;
        const char *value = equals ? equals + 1 : flag ? "" : row ? argv[i + 1] : NULL;
        if (!row) {
            fprintf(stderr, "%s: unknown option '%s' (see --help)\n", table->program, text);
            exit(2);
        }
        if (!value) {
            fprintf(stderr, "%s: --%s needs %s (see --help)\n", table->program, row->name,
                    option_kind_name(row->kind));
            exit(2);
        }
        i += !equals && !flag;
        int error = flag && equals ? -EINVAL : option_store(row, value);
        if (error != 0)
            option_refuse(table, row, value, error);
    }
}

#endif
