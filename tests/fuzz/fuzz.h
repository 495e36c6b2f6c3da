/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target is one function. libFuzzer calls it with generated inputs, replay.c with the files
 * of a corpus, and the mutating tests with mutations of a sample. It aborts on a fault.
 *
 * Threading: single-threaded.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Runs the target on one input. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/** Makes the checksums of a trace right. True when one was not. */
bool trace_checksums_mend(unsigned char *data, size_t bytes);

#endif
