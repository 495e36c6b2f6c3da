/* SPDX-License-Identifier: MIT */
/*
 * `cupool VERB …`: the table of verbs, help and version.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/base/escape.h"
#include "tools/base/shortage.h"
#include "tools/cli/allocate.h"

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

    fprintf(stderr, "cupool%s%s: ", verb ? " " : "", verb ? verb : "");
    va_start(arguments, format);
    escape_line_list(stderr, format, arguments);
    va_end(arguments);
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

/** Reports the option that getopt_long refused ('?' or ':'). */
static int option_refused(const struct verb_options *reading, int result, const char *text)
{
    return verb_error(reading->verb, reading->trouble,
                      result == ':' ? "%s: needs a value: see 'cupool %s --help'"
                                    : "%s: unknown option: see 'cupool %s --help'",
                      text, reading->verb);
}

int verb_options_read(const struct verb_options *reading, int argc, char **argv, void *state)
{
    int option, trouble = 0;

    opterr = 0;
    optind = 0; /* glibc: forget an earlier loop, and honour a leading + or - */
    while (!trouble &&
           (option = getopt_long(argc, argv, reading->letters, reading->options, NULL)) != -1) {
        if (option == 'h') {
            if (reading->help)
                verb_help(reading->verb, reading->help);
            else
                reading->set(state, option);
            return EXIT_FINE + 1;
        }
        trouble = reading->set(state, option);
        if (trouble == VERB_OPTION_UNKNOWN)
            trouble = option_refused(reading, option, argv[optind - 1]);
    }
    return trouble ? trouble + 1 : 0;
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

/** What was printed must be complete, and have arrived. The status of a program that was run is
 * more important than its summary. */
static int output_finish(const char *verb, int code)
{
    bool is_run = verb && !strcmp(verb, "run");

    errno = 0;
    if (fflush(stdout) != EOF && !ferror(stdout) && (is_run || !shortage_error()))
        return code;
    if (code != EXIT_FINE && code != EXIT_FOUND)
        return code;
    if (shortage_error() && !is_run)
        return verb_error(verb, EXIT_TROUBLE, "%s: what was written is not complete",
                          strerror(-shortage_error()));
    return verb_error(verb, is_run ? EXIT_RUN_FAILED : EXIT_TROUBLE, "standard output: %s",
                      errno ? strerror(errno) : "cannot be written");
}

/** Keeps the numbers of closed standard streams from the files that are opened later. Reading and
 * writing fail as on a closed one, and a program that is started has it closed. */
static void streams_hold(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH | O_CLOEXEC) < 0)
            return;
}

/** A report has the file of each module open, with its debug files. */
static void descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const struct verb *verb;

    streams_hold();
    allocate_note_failures();
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
    /* A limit of file sizes is an error like others. A program gets the signal, and the limits, as
     * without cupool. */
    if (strcmp(name, "run") != 0 && strcmp(name, "doctor") != 0) {
        signal(SIGXFSZ, SIG_IGN);
        descriptors_raise();
    }
    return output_finish(name, verb->run(argc - 1, argv + 1));
}
