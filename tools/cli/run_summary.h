/* SPDX-License-Identifier: MIT */
/*
 * Summary at the end of `cupool run`: a few lines and the next command.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_RUN_SUMMARY_H
#define TOOLS_CLI_RUN_SUMMARY_H

#include <stdio.h>

#include "tools/cli/traces.h"

/** Summarises one trace of a run that wrote several. Problems are told in the same place. */
void run_summary_print(const struct trace_files *files, const struct trace_file *file, FILE *out);

#endif
