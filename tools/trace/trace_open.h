/* SPDX-License-Identifier: MIT */
/*
 * Opens a trace for a verb, plain or packed, with progress on the terminal.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_TRACE_TRACE_OPEN_H
#define TOOLS_TRACE_TRACE_OPEN_H

#include "cupti/read/trace_reader.h"

/** The bytes of a trace, unpacked where it is packed. Errors: as trace_open. */
int trace_source_open(const char *path, struct trace_source *ret_source, char *ret_why,
                      size_t why_bytes);

/** As trace_reader_open. Errors: also -ENOTSUP, packed and no support for that built in. */
int trace_open(const char *path, struct trace_reader **ret_reader, char *ret_why, size_t why_bytes);

#endif
