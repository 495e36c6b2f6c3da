/* SPDX-License-Identifier: MIT */
/*
 * Replaces everything in a trace that names a program, a user or a machine: every string except the
 * names of CUDA functions, counters and devices and cupool's version. The replacement is "anon-"
 * and 16 digits, the same for the same string, so that traces can still be compared.
 *
 * Kept: sizes, times, addresses, offsets in modules, thread and process ids, the statistics of the
 * device. The digits are a plain hash: a guessed string can be verified.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_TRACE_ANONYMIZE_H
#define TOOLS_TRACE_ANONYMIZE_H

#include <stddef.h>

#include "cupti/read/trace_reader.h"

struct anonymize;

/** Finds the strings that may stay. Errors: -ENOMEM, those of trace_reader_next(). */
int anonymize_create(struct trace_reader *reader, struct anonymize **ret_anonymize, char *ret_why,
                     size_t why_bytes);

/** Removes the origin of the process (host and PID namespace) from block 0. */
void anonymize_file_header(unsigned char *block, size_t bytes);

/** Replaces strings in one block of the file, which is `bytes` long, and updates its checksum. */
void anonymize_block(const struct anonymize *anonymize, unsigned char *block, size_t bytes);

/** NULL is accepted. */
void anonymize_destroy(struct anonymize *anonymize);

#endif
