/* SPDX-License-Identifier: MIT */
/*
 * Prints the summary at the end of `cupool run`: a few lines and the next command.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_RUN_SUMMARY_H
#define TOOLS_CLI_RUN_SUMMARY_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/cli/traces.h"

/**
 * Summarises the traces of a run: one in full, the others in a line each. The full one is `file`;
 * NULL: the lowest rank, else the first. Problems are printed in the same place. Returns whether
 * any device memory was allocated.
 */
bool run_summary_print(const struct trace_files *files, const struct trace_file *file, FILE *out);

/** A command as a shell reads it back; of a long one, the program and "ARGUMENTS". free() it. NULL:
 * out of memory. */
char *run_command_text(char *const *argv);

#endif
