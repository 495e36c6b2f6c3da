/* SPDX-License-Identifier: MIT */
/*
 * The records that begin a trace.
 *
 * Threading: by the thread that opens the trace.
 */
#ifndef SHIM_OBSERVE_RECORD_PROCESS_H
#define SHIM_OBSERVE_RECORD_PROCESS_H

#include <stddef.h>

struct trace_writer;

/** The command line of this process, its words with blanks between. */
void record_command_line(char *text, size_t text_bytes);

/** The process, its command line and its rank. */
void record_process(struct trace_writer *writer, const char *command);

/** Counts of what a simulated device skipped; nothing on any other. */
void record_skipped(struct trace_writer *writer);

#endif
