/* SPDX-License-Identifier: MIT */
/*
 * One step of fuzzing the trace reader.
 */
#ifndef TESTS_FUZZ_TRACE_READER_FUZZ_H
#define TESTS_FUZZ_TRACE_READER_FUZZ_H

#include <stdbool.h>
#include <stddef.h>

/** Reads bytes as a trace, with valid checksums if `mend`. Aborts when something is wrong. */
void trace_reader_fuzz(const unsigned char *data, size_t bytes, bool mend);

#endif
