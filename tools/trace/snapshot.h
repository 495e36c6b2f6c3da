/* SPDX-License-Identifier: MIT */
/*
 * Reads a trace while its program still writes it.
 *
 * A trace that only grows can be read directly, because its contents do not change. A trace of
 * limited size reuses its blocks, so it is copied first; the copy is valid if no block was reused
 * meanwhile. The program is neither asked nor delayed.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_TRACE_SNAPSHOT_H
#define TOOLS_TRACE_SNAPSHOT_H

#include <stdbool.h>

#include "cupti/read/trace_reader.h"

/** Whether an open file is a trace that its process still writes; `ret_limited`: of limited
 * size.
 */
bool snapshot_is_needed(int fd, bool *ret_limited);

/**
 * Copies a trace of limited size; the new source owns the copy, and the file stays open. Errors:
 * -EAGAIN its blocks changed each time; others from the system.
 */
int snapshot_copy(int fd, struct trace_source *ret_source);

#endif
