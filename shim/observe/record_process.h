/* SPDX-License-Identifier: MIT */
/*
 * Records that describe the process.
 *
 * Threading: by the thread that opens the trace.
 */
#ifndef SHIM_OBSERVE_RECORD_PROCESS_H
#define SHIM_OBSERVE_RECORD_PROCESS_H

#include <stddef.h>

struct trace_writer;

/** Returns the command line of this process, its words separated by blanks. */
void record_command_line(char *text, size_t text_bytes);

/** The process, its command line and its rank. */
void record_process(struct trace_writer *writer, const char *command);

/** Records what a simulated device skipped; nothing on any other device. */
void record_skipped(struct trace_writer *writer);

#endif
