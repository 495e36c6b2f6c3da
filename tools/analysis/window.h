/* SPDX-License-Identifier: MIT */
/*
 * The part of a run that a user selects: a phase by name, or a range of time.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_WINDOW_H
#define TOOLS_ANALYSIS_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/analysis/analysis.h"

/** As written; NULL: not given. */
struct window_request {
    const char *phase, *from, *to;
};

/** The long options of a verb that accepts a window, and their help. */
enum window_option { WINDOW_PHASE = 1000, WINDOW_FROM, WINDOW_TO };
#define WINDOW_OPTIONS                                                                             \
    {"phase", required_argument, NULL, WINDOW_PHASE},                                              \
        {"from", required_argument, NULL, WINDOW_FROM},                                            \
    {                                                                                              \
        "to", required_argument, NULL, WINDOW_TO                                                   \
    }
#define WINDOW_HELP                                                                                \
    "      --phase NAME       only this phase (also load, warm-up and steady, if\n"                \
    "                         they were detected)\n"                                               \
    "      --from T, --to T   only this part of the run: 2s, 350ms, 1.5 (seconds), "               \
    "40%\n"

/** Sets an option of WINDOW_OPTIONS. False: it is none of them. */
bool window_option_set(struct window_request *request, int option, const char *text);

bool window_is_wanted(const struct window_request *request);

/** Parses "2s", "350ms", "20us", "1.5" (seconds), "40%" of the duration. Errors: -EINVAL. */
int window_time_parse(const char *text, uint64_t duration_ns, uint64_t *ret_ns);

/**
 * Resolves a request to times or a phase of this trace, which it reads for that. Errors: -EINVAL,
 * -ENOENT, those of reading; with one line in ret_why, which says what to do.
 */
int window_resolve(const struct window_request *request, struct trace_reader *reader,
                   struct analysis_window *ret_window, char *ret_why, size_t why_bytes);

#endif
