/* SPDX-License-Identifier: MIT */
/*
 * `cupool check --config FILE TRACE`: a run against what `cupool tune` promised in the file.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_PROMISE_CHECK_H
#define TOOLS_CLI_PROMISE_CHECK_H

#include <stdbool.h>

/** Prints a line for each figure. Returns the exit code of check. */
int promise_check(const char *config, const char *trace_path, const char *shown_name, bool strict);

#endif
