/* SPDX-License-Identifier: MIT */
/*
 * The verbs of `cupool`, and their error messages: one line that says what is wrong, where, and
 * what to do.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_VERB_H
#define TOOLS_CLI_VERB_H

#include <stddef.h>

/** Exit codes; `run` has the program's own besides. */
enum {
    EXIT_FINE = 0,
    EXIT_FOUND = 1, /* doctor: the program would escape, or fails; diff, check: over */
    EXIT_TROUBLE = 2,
    EXIT_RUN_FAILED = 125, /* cupool run itself */
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127
};

/*
 * VERB(name, usage, help)   a row per verb; verb_NAME runs it with argv[0] its name.
 */
#define VERBS(VERB)                                                                                \
    VERB(run, "[options] -- PROGRAM [ARGUMENTS]", "run a program with the pool and record it")     \
    VERB(report, "[options] TRACE...", "write a report from a trace")                              \
    VERB(diff, "[options] BASE NEW", "compare two traces: what grew, by site")                     \
    VERB(check, "[options] --budget FILE TRACE", "check a trace against a budget, for CI")         \
    VERB(replay, "[options] TRACE...", "replay a trace with the pool and other allocators")        \
    VERB(tune, "[options] TRACE...", "find pool options for a program from its traces")            \
    VERB(pack, "[options] TRACE", "compress a trace for storage, or restore it")                   \
    VERB(top, "[options] [PID]", "watch the memory of a running program")                          \
    VERB(metrics, "[options] [PID]", "serve the statistics of running programs to Prometheus")     \
    VERB(options, "[--markdown]", "list all options, their values and sources")                    \
    VERB(doctor, "[options] [-- PROGRAM [ARGUMENTS]]",                                             \
         "check the installation, and whether a program is covered")

/*
 * EXIT_CODE(verb, code, meaning)   the meaning of a verb's exit codes; help, the manual and
 * docs/cli.md have these rows.
 */
#define EXIT_CODES(EXIT_CODE)                                                                      \
    EXIT_CODE(run, "N", "the program's own")                                                       \
    EXIT_CODE(run, "128+N", "signal N ended the program")                                          \
    EXIT_CODE(run, "125", "cupool itself failed")                                                  \
    EXIT_CODE(run, "126", "the program cannot be executed")                                        \
    EXIT_CODE(run, "127", "the program cannot be found")                                           \
    EXIT_CODE(report, "0", "the report was written")                                               \
    EXIT_CODE(report, "2", "error: one line on stderr names the problem and the remedy")           \
    EXIT_CODE(diff, "0", "nothing grew beyond the tolerance")                                      \
    EXIT_CODE(diff, "1", "something grew")                                                         \
    EXIT_CODE(diff, "2", "error")                                                                  \
    EXIT_CODE(check, "0", "within budget")                                                         \
    EXIT_CODE(check, "1", "over budget")                                                           \
    EXIT_CODE(check, "2", "error; with --strict also a warning")                                   \
    EXIT_CODE(replay, "0", "replayed; with --capacity, it was enough for the pool")                \
    EXIT_CODE(replay, "1", "the pool ran out of memory at that capacity")                          \
    EXIT_CODE(replay, "2",                                                                         \
              "error, or the pool was stopped for too many driver calls at that capacity")         \
    EXIT_CODE(tune, "0", "options were found that help every trace")                               \
    EXIT_CODE(tune, "1", "nothing to gain; with -o the file says so")                              \
    EXIT_CODE(tune, "2", "error")                                                                  \
    EXIT_CODE(pack, "0", "the file was written")                                                   \
    EXIT_CODE(pack, "2", "error")                                                                  \
    EXIT_CODE(top, "0", "statistics were shown")                                                   \
    EXIT_CODE(top, "2", "nothing to watch, or error")                                              \
    EXIT_CODE(metrics, "0", "statistics were printed or served")                                   \
    EXIT_CODE(metrics, "2", "error")                                                               \
    EXIT_CODE(options, "0", "all options are valid")                                               \
    EXIT_CODE(options, "2", "an option in the environment or the file is invalid, or error")       \
    EXIT_CODE(doctor, "0", "all is well")                                                          \
    EXIT_CODE(doctor, "1", "the program is not covered, or fails only under cupool")               \
    EXIT_CODE(doctor, "2", "error")

#define VERB(name, usage, help) int verb_##name(int argc, char **argv);
VERBS(VERB)
#undef VERB

/** Prints "cupool VERB: MESSAGE" to stderr, escaped as one line, and returns the exit code. */
__attribute__((format(printf, 3, 4))) int verb_error(const char *verb, int exit_code,
                                                     const char *format, ...);

/** Prints a verb's usage and help, with its exit codes before the examples at the end. */
void verb_help(const char *verb, const char *text);

#define VERB_OPTION_UNKNOWN (-1)

/** How a verb reads its options. */
struct verb_options {
    const char *verb;
    int trouble;                  /* exit code for a wrong option */
    const char *help;             /* printed by verb_help(); NULL: `set` prints it for 'h' */
    const char *letters;          /* as for getopt_long, with ':' first and 'h' */
    const struct option *options; /* likewise, with "help" */
    /* Sets one option; its value is in optarg. Returns 0, an exit code, or VERB_OPTION_UNKNOWN. */
    int (*set)(void *state, int option);
};

/**
 * Reads the options of a verb up to its first argument, argv[optind], and reports what is wrong.
 * 0: go on; otherwise an exit code + 1.
 */
int verb_options_read(const struct verb_options *reading, int argc, char **argv, void *state);

#endif
