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
#include <string.h>

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

    fprintf(stderr, verb ? "cupool %s: " : "cupool: ", verb);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
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
    fputs("  help VERB what a verb takes, with examples\n\n"
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

static int command_run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const struct verb *verb;

    if (!name) {
        usage_print(stderr);
        return EXIT_TROUBLE;
    }
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
        return help(argc, argv);
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        puts("cupool " CUPOOL_VERSION);
        return EXIT_FINE;
    }
    verb = verb_find(name);
    if (!verb)
        return verb_error(NULL, EXIT_TROUBLE, "%s: no such verb: see 'cupool --help'", name);
    return verb->run(argc - 1, argv + 1);
}

/** What could not be written is a failure, whatever the verb made of it. */
static int output_close(const char *verb, int exit_code)
{
    bool failed = ferror(stdout);

    if ((fclose(stdout) == 0 && !failed) || errno == EBADF)
        return exit_code;
    if (exit_code != EXIT_FINE && exit_code != EXIT_FOUND)
        return exit_code; /* the verb has said what */
    return verb_error(verb, EXIT_TROUBLE, "standard output: cannot write");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 && verb_find(argv[1]) ? argv[1] : NULL;
    bool is_run = name && !strcmp(name, "run");
    int exit_code = command_run(argc, argv);

    /* The exit code of `run` is the program's, and so is what was written. */
    if (is_run && exit_code != EXIT_FINE)
        return exit_code;
    return output_close(name, exit_code);
}
