/* SPDX-License-Identifier: MIT */
/*
 * The records that begin a trace.
 *
 * Threading: by the thread that opens the trace.
 */
#ifndef SHIM_RECORD_PROCESS_H
#define SHIM_RECORD_PROCESS_H

struct trace_writer;

/** The process, its command line and its rank. */
void record_process(struct trace_writer *writer);

#endif
