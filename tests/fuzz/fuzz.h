/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target is: one function, which libFuzzer calls with what it makes up, replay.c with
 * the files of a corpus, and the mutating tests with what they make of a sample. It aborts when
 * something is wrong with what it calls.
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
