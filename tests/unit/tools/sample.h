/* SPDX-License-Identifier: MIT */
/*
 * A small trace whose every figure is known: what the reports of the tests are compared with.
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
