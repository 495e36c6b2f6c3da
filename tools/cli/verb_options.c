/* SPDX-License-Identifier: MIT */
/*
 * `cupool options`: the table of options with their current values, or as Markdown for the
 * documentation.
 */
#include "tools/cli/verb.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "shim/options/options.h"
#include "tools/base/text_table.h"

#define VERB_NAME "options"

static const char help_text[] =
    "Options:\n"
    "      --markdown  print a table of all options for documentation, without values\n"
    "  -h, --help\n\n"
    "Sources of values, later wins: built-in, the file named by CUPOOL_CONF (key = value),\n"
    "CUPOOL=key:value,key:value, CUPOOL_KEY=value, and 'cupool run -O key:value'.\n\n"
    "Examples:\n"
    "  cupool options\n"
    "  CUPOOL=mode:observe,limit:10% cupool options\n";

/** A bar within a cell of a Markdown table is written \|. */
static void cell_print(const char *text)
{
    for (; *text; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void markdown_print(void)
{
    puts("| option | accepted | default | meaning |\n|---|---|---|---|");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = options_row(i);

        printf("| `%s` | ", row->key);
        cell_print(row->accepted);
        printf(" | `%s` | ", row->built_in);
        cell_print(row->help);
        puts(" |");
    }
}

static void problem_print(void *state, const char *line)
{
    verb_error(VERB_NAME, 0, "%s", line);
}

static int values_print(void)
{
    static const struct text_column columns[] = {{"OPTION", false, false, 0},
                                                 {"VALUE", false, false, 0},
                                                 {"FROM", false, false, 0},
                                                 {"DEFAULT", false, false, 0},
                                                 {"ACCEPTED", false, false, 0}};
    struct text_table *table = text_table_create(columns, 5, 0);
    struct options options;
    int problems = options_load(&options, problem_print, NULL);

    for (size_t i = 0; table && i < OPTION_COUNT; i++) {
        const struct option_row *row = options_row(i);
        char value[OPTIONS_TEXT_BYTES], source[64];
        const char *cells[] = {row->key, value, source, row->built_in, row->accepted};

        options_format(&options, i, value, sizeof value);
        options_format_source(&options, i, source, sizeof source);
        if (text_table_add(table, cells) < 0)
            return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    }
    int error = text_table_finish(table, stdout);
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s", strerror(-error));
    puts("");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        printf("%s: %s\n", options_row(i)->key, options_row(i)->help);
    return problems ? EXIT_TROUBLE : EXIT_FINE;
}

static int option_set(void *state, int option)
{
    bool *markdown = state;

    if (option != 'm')
        return VERB_OPTION_UNKNOWN;
    *markdown = true;
    return 0;
}

int verb_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"markdown", no_argument, NULL, 'm'}, {"help", no_argument, NULL, 'h'}, {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                ":h",      options,      option_set};
    bool markdown = false;
    int trouble = verb_options_read(&reading, argc, argv, &markdown);

    if (trouble)
        return trouble - 1;
    if (optind < argc)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: unexpected: see 'cupool options --help'",
                          argv[optind]);
    if (!markdown)
        return values_print();
    markdown_print();
    return EXIT_FINE;
}
