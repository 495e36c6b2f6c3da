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
    VERB(report, "[options] TRACE...", "turn a record into a report")                              \
    VERB(diff, "[options] BASE NEW", "what grew between two records, by site")                     \
    VERB(check, "[options] --budget FILE TRACE", "hold a record against a budget, for CI")         \
    VERB(replay, "[options] TRACE...", "run a record through the pool and other allocators, anew") \
    VERB(tune, "[options] TRACE...", "find options of the pool for a program, from its records")   \
    VERB(pack, "[options] TRACE", "make a record smaller to keep or send, or plain again")         \
    VERB(top, "[options] [PID]", "watch the memory of a running program")                          \
    VERB(metrics, "[options] [PID]", "serve the figures of running programs to Prometheus")        \
    VERB(options, "[--markdown]", "list all options, their values and where these come from")      \
    VERB(doctor, "[options] [-- PROGRAM [ARGUMENTS]]",                                             \
         "look at the installation, and at whether a program would be caught")

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
    EXIT_CODE(report, "2", "trouble: the line on stderr says what, where and what to do")          \
    EXIT_CODE(diff, "0", "nothing grew beyond the tolerance")                                      \
    EXIT_CODE(diff, "1", "something grew")                                                         \
    EXIT_CODE(diff, "2", "trouble")                                                                \
    EXIT_CODE(check, "0", "within budget")                                                         \
    EXIT_CODE(check, "1", "over budget")                                                           \
    EXIT_CODE(check, "2", "trouble; with --strict a warning, too")                                 \
    EXIT_CODE(replay, "0", "replayed; with --capacity the pool got by with it")                    \
    EXIT_CODE(replay, "1", "the pool ran out of memory at that capacity")                          \
    EXIT_CODE(replay, "2", "trouble")                                                              \
    EXIT_CODE(tune, "0", "options were found that help every trace")                               \
    EXIT_CODE(tune, "1", "nothing to gain; with -o the file says so")                              \
    EXIT_CODE(tune, "2", "trouble")                                                                \
    EXIT_CODE(pack, "0", "the file was written")                                                   \
    EXIT_CODE(pack, "2", "trouble")                                                                \
    EXIT_CODE(top, "0", "figures were shown")                                                      \
    EXIT_CODE(top, "2", "there is nothing to watch, or trouble")                                   \
    EXIT_CODE(metrics, "0", "figures were printed or served")                                      \
    EXIT_CODE(metrics, "2", "trouble")                                                             \
    EXIT_CODE(options, "0", "all options are good")                                                \
    EXIT_CODE(options, "2", "one in the environment or the file is bad, or trouble")               \
    EXIT_CODE(doctor, "0", "all is well")                                                          \
    EXIT_CODE(doctor, "1", "the program would escape, or fails under cupool and not without")      \
    EXIT_CODE(doctor, "2", "trouble")

#define VERB(name, usage, help) int verb_##name(int argc, char **argv);
VERBS(VERB)
#undef VERB

/** Prints "cupool VERB: MESSAGE" to stderr, escaped as one line, and returns the exit code. */
__attribute__((format(printf, 3, 4))) int verb_error(const char *verb, int exit_code,
                                                     const char *format, ...);

/** Prints a verb's usage and help, with its exit codes before the examples at the end. */
void verb_help(const char *verb, const char *text);

/** Starts a getopt_long loop that reports its own errors by verb_error. */
void verb_options_begin(void);

/** Reports the option that getopt_long refused ('?' or ':'). */
int verb_option_refused(const char *verb, int exit_code, int result, char **argv);

#endif
