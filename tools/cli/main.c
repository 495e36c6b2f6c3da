/* SPDX-License-Identifier: MIT */
/*
 * `cupool VERB …`: the table of verbs, help and version.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"

struct verb {
    const char *name, *usage, *help;
    int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
#define VERB(name, usage, help) {#name, usage, help, verb_##name},
    VERBS(VERB)
#undef VERB
};

static const struct {
    const char *verb, *code, *meaning;
} exit_codes[] = {
#define EXIT_CODE(verb, code, meaning) {#verb, code, meaning},
    EXIT_CODES(EXIT_CODE)
#undef EXIT_CODE
};

#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (!strcmp(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

int verb_error(const char *verb, int exit_code, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    int r;

    va_start(arguments, format);
    r = vasprintf(&text, format, arguments);
    va_end(arguments);
    escape_line(stderr, "cupool%s%s: %s", verb ? " " : "", verb ? verb : "",
                r < 0 ? "out of memory" : text);
    if (r >= 0)
        free(text);
    return exit_code;
}

void verb_help(const char *verb, const char *text)
{
    const struct verb *row = verb_find(verb);
    const char *examples = strstr(text, "Examples:\n");
    int before = examples ? (int)(examples - text) : (int)strlen(text);

    printf("usage: cupool %s %s\n\n%.*sExit codes:\n", row->name, row->usage, before, text);
    for (size_t i = 0; i < sizeof exit_codes / sizeof *exit_codes; i++)
        if (!strcmp(exit_codes[i].verb, verb))
            printf("  %-6s %s\n", exit_codes[i].code, exit_codes[i].meaning);
    printf("\n%s\n", text + before);
}

void verb_options_begin(void)
{
    opterr = 0;
    optind = 0; /* glibc: forget an earlier loop, and honour a leading + or - */
}

int verb_option_refused(const char *verb, int exit_code, int result, char **argv)
{
    if (result == ':')
        return verb_error(verb, exit_code, "%s: needs a value: see 'cupool %s --help'",
                          argv[optind - 1], verb);
    return verb_error(verb, exit_code, "%s: unknown option: see 'cupool %s --help'",
                      argv[optind - 1], verb);
}

static void usage_print(FILE *out)
{
    fputs("usage: cupool VERB [options]\n\n"
          "cupool serves a CUDA program's device memory from pools, records every allocation and\n"
          "reports on it.\n\n",
          out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].help);
    fputs("  help VERB options of a verb, with examples\n\n"
          "  --help, --version\n\n"
          "Start with: cupool run -- ./program\n",
          out);
}

static int help(int argc, char **argv)
{
    const struct verb *verb = argc > 2 ? verb_find(argv[2]) : NULL;
    char flag[] = "--help";
    char *arguments[] = {argc > 2 ? argv[2] : NULL, flag, NULL};

    if (argc > 2 && !verb)
        return verb_error("help", EXIT_TROUBLE, "%s: no such verb: see 'cupool --help'", argv[2]);
    if (verb)
        return verb->run(2, arguments);
    usage_print(stdout);
    return EXIT_FINE;
}

/** What was printed must have arrived. */
static int output_finish(const char *verb, int code)
{
    bool is_run = verb && !strcmp(verb, "run");

    errno = 0;
    if (fflush(stdout) != EOF && !ferror(stdout))
        return code;
    if (code != EXIT_FINE && code != EXIT_FOUND)
        return code;
    return verb_error(verb, is_run ? EXIT_RUN_FAILED : EXIT_TROUBLE, "standard output: %s",
                      errno ? strerror(errno) : "cannot be written");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const struct verb *verb;

    if (!name) {
        usage_print(stderr);
        return EXIT_TROUBLE;
    }
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
        return output_finish(NULL, help(argc, argv));
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        puts("cupool " CUPOOL_VERSION);
        return output_finish(NULL, EXIT_FINE);
    }
    verb = verb_find(name);
    if (!verb)
        return verb_error(NULL, EXIT_TROUBLE, "%s: no such verb: see 'cupool --help'", name);
    return output_finish(name, verb->run(argc - 1, argv + 1));
}
