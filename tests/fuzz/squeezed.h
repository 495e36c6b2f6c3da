/* SPDX-License-Identifier: MIT */
/*
 * Inputs of the targets that read traces.
 *
 * A trace is mostly padding, in which a fuzzer finds nothing. So an input may be squeezed
 * (squeeze.py): SQUEEZED_MAGIC in place of the file's, then slots without the empty ones at the end
 * of each block. What begins like a block header begins a block; where the last slot is cut, so is
 * the trace.
 *
 * Threading: single-threaded.
 */
#ifndef TESTS_FUZZ_SQUEEZED_H
#define TESTS_FUZZ_SQUEEZED_H

#include "tests/fuzz/fuzz.h"

/** The bytes of the trace that an input stands for. free() it. */
unsigned char *trace_spread(const unsigned char *data, size_t bytes, size_t *ret_bytes);

#endif
