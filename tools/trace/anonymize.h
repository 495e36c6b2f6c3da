/* SPDX-License-Identifier: MIT */
/*
 * Replaces what names a program, a user or a machine in a trace: every text but the names of CUDA
 * functions, counters and devices and cupool's version. In its place stands "anon-" and 16 digits,
 * the same for the same text, so that traces can still be compared.
 *
 * What remains: sizes, times, addresses, offsets in modules, thread and process ids, the figures of
 * the device. The digits are a plain hash: who guesses a text can check the guess.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_TRACE_ANONYMIZE_H
#define TOOLS_TRACE_ANONYMIZE_H

#include <stddef.h>

#include "cupti/read/trace_reader.h"

struct anonymize;

/** Finds the texts that may stay. Errors: -ENOMEM, those of trace_reader_next. */
int anonymize_create(struct trace_reader *reader, struct anonymize **ret_anonymize, char *ret_why,
                     size_t why_bytes);

/** Takes out of block 0 where the process ran. */
void anonymize_file_header(unsigned char *block, size_t bytes);

/** Replaces texts in one block of the file, which is `bytes` long, and mends its checksum. */
void anonymize_block(const struct anonymize *anonymize, unsigned char *block, size_t bytes);

/** NULL is accepted. */
void anonymize_destroy(struct anonymize *anonymize);

#endif
