/* SPDX-License-Identifier: MIT */
/*
 * A trace while its program still writes it.
 *
 * A trace that only grows can be read as it is: what stands in it stays. One of limited size uses
 * its blocks again, so it is copied first, and the copy is good if no block came into another use
 * meanwhile. The program is not asked and not held up.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_TRACE_SNAPSHOT_H
#define TOOLS_TRACE_SNAPSHOT_H

#include <stdbool.h>

#include "cupti/read/trace_reader.h"

/** Whether an open file is a trace that its process still writes; `ret_limited`: of limited size.
 */
bool snapshot_is_needed(int fd, bool *ret_limited);

/**
 * A copy of a trace of limited size, which the new source owns; the file stays open.
 * Errors: -EAGAIN its blocks changed each time; others as the system said.
 */
int snapshot_copy(int fd, struct trace_source *ret_source);

#endif
