/* SPDX-License-Identifier: MIT */
/*
 * Traces opened for a report, and their figures by location. Wrappers are learnt from all traces
 * before the first is analysed, so that a function counts alike in each.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_CLI_LOADED_H
#define TOOLS_CLI_LOADED_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/analysis/analysis.h"
#include "tools/analysis/locations.h"
#include "tools/analysis/window.h"

struct loaded {
    bool detailed; /* set before loaded_create: as the HTML report wants it */
    size_t count;
    struct trace_reader **reader;
    struct analysis **analysis;
    struct locations **locations;
    const char **name; /* of the traces in the report */
};

/** `window` NULL: the whole run. On failure `ret_why` says what is wrong, where, and what to do. */
int loaded_create(struct loaded *loaded, char *const *paths, size_t count,
                  const struct window_request *window, char *ret_why, size_t why_bytes);

/** Names the traces after everything is known; `anonymize`: anonymizes all names. */
void loaded_name(struct loaded *loaded, char *const *paths, bool anonymize);

/** Of all zeros, too. */
void loaded_destroy(struct loaded *loaded);

#endif
