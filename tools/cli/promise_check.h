/* SPDX-License-Identifier: MIT */
/*
 * `cupool check --config FILE TRACE`: compares a run with the promises of `cupool tune` in the
 * file.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_CLI_PROMISE_CHECK_H
#define TOOLS_CLI_PROMISE_CHECK_H

#include <stdbool.h>

/** Prints a line for each figure. Returns the exit code of check. */
int promise_check(const char *config, const char *trace_path, const char *shown_name, bool strict);

#endif
