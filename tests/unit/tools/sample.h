/* SPDX-License-Identifier: MIT */
/*
 * A small trace with known figures: the tests compare the reports with it.
 *
 * Times and addresses are given, so only pid, start, module and offset differ between runs.
 *
 * Threading: single-threaded.
 */
#ifndef TESTS_UNIT_TOOLS_SAMPLE_H
#define TESTS_UNIT_TOOLS_SAMPLE_H

#include "cupti/write/trace_writer.h"

/** Emits the events of the sample. The caller opens and closes the trace. */
void sample_emit(struct trace_writer *writer);

#endif
