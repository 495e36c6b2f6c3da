/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of the trace: a directory for each test, and traces written and read whole.
 *
 * Threading: single-threaded but where said.
 */
#ifndef TESTS_UNIT_CUPTI_TRACE_SUPPORT_H
#define TESTS_UNIT_CUPTI_TRACE_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "cupti/read/trace_reader.h"
#include "cupti/write/trace_writer.h"

#define SUPPORT_PATH_BYTES 128

/** A path in a fresh directory, which support_remove removes with all files in it. */
void support_path(char *ret_path);
void support_remove(const char *path);

/** Opens a writer and asserts that it could. */
struct trace_writer *support_open(const char *path);

/** An allocation with all fields derived from one number, so that a reader can check them. */
struct trace_record support_record(uint64_t number);

/** Writes the records of so many numbers, from the first on. */
void support_emit(struct trace_writer *writer, uint64_t first, uint64_t count);

/** Asserts that a record is support_record of its address. */
void support_check(const struct trace_record *record);

/** Opens a reader and asserts that it could. */
struct trace_reader *support_read(const char *path);

/** Counts the ALLOCATE events, each checked by support_check. Asserts that reading succeeds. */
uint64_t support_count(struct trace_reader *reader);

/** A whole file in memory; free() it. */
unsigned char *support_load(const char *path, size_t *ret_bytes);
void support_store(const char *path, const unsigned char *data, size_t bytes);

/** The seed of this run: CUPOOL_TEST_SEED, or one drawn; printed. */
uint64_t support_seed(void);

/** A pseudo-random sequence (splitmix64). */
uint64_t support_random(uint64_t *state);

#endif
