/* SPDX-License-Identifier: MIT */
/*
 * The verbs of `cupool`, and how they speak: one line for an error that says what, where and what
 * to do.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_VERB_H
#define TOOLS_VERB_H

#include <stddef.h>

/** Exit codes; `run` has the program's own besides. */
enum {
    EXIT_FINE = 0,
    EXIT_FOUND = 1, /* doctor: the program would escape; diff, check: over */
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
    VERB(report, "[options] TRACE...", "turn a record into a report")                              \
    VERB(diff, "[options] BASE NEW", "what grew between two records, by site")                     \
    VERB(check, "[options] --budget FILE TRACE", "hold a record against a budget, for CI")         \
    VERB(top, "[options] [PID]", "watch the memory of a running program")                          \
    VERB(metrics, "[options] [PID]", "serve the figures of running programs to Prometheus")        \
    VERB(options, "[--markdown]", "list all options, their values and where these come from")      \
    VERB(doctor, "[options] [-- PROGRAM [ARGUMENTS]]",                                             \
         "look at the installation, and at whether a program would be caught")

#define VERB(name, usage, help) int verb_##name(int argc, char **argv);
VERBS(VERB)
#undef VERB

/** Prints "cupool VERB: MESSAGE" to stderr and gives the exit code back. */
__attribute__((format(printf, 3, 4))) int verb_error(const char *verb, int exit_code,
                                                     const char *format, ...);

/** Prints a verb's usage, help and the text behind it. */
void verb_help(const char *verb, const char *text);

/** Starts a getopt_long loop that reports its own errors by verb_error. */
void verb_options_begin(void);

/** Tells about the option getopt_long refused ('?' or ':'). */
int verb_option_refused(const char *verb, int exit_code, int result, char **argv);

#endif
